/** `keyrite embeddings`: exact search over homomorphically encrypted vectors. */
import type { Command } from 'commander'

import { type Dispatch, addGroup } from './command.ts'
import { addCollectionCommands } from './embeddings-collection.ts'
import { addImportCommands } from './embeddings-import.ts'
import { addItemCommands } from './embeddings-items.ts'
import { addMaintenanceCommands } from './embeddings-maintenance.ts'
import { addSearchCommand } from './embeddings-search.ts'
import { addServeCommand } from './embeddings-serve.ts'
import { addWorkCommand } from './embeddings-work.ts'

/** Adds the group to the tree. */
export function addEmbeddingCommands(program: Command, dispatch: Dispatch): void {
  const group = addGroup(
    program,
    'embeddings',
    'Search over homomorphically encrypted embeddings, with keys from the HSM',
    'embeddings state --store ./vectors',
  )
  addCollectionCommands(group, dispatch)
  addImportCommands(group, dispatch)
  addSearchCommand(group, dispatch)
  addItemCommands(group, dispatch)
  addMaintenanceCommands(group, dispatch)
  addServeCommand(group, dispatch)
  addWorkCommand(group, dispatch)
}
