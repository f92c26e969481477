/** `keyrite ceremony`: plans before, ceremonies while, transcripts after. */
import type { Command } from 'commander'

import { addEvidenceCommands } from './ceremony-evidence.ts'
import { addPlanCommands } from './ceremony-plan.ts'
import { addRehearseCommand } from './ceremony-rehearse.ts'
import { addRunCommands } from './ceremony-run.ts'
import { type Dispatch, addGroup } from './command.ts'

/** Adds the group to the tree. */
export function addCeremonyCommands(program: Command, dispatch: Dispatch): void {
  const group = addGroup(
    program,
    'ceremony',
    'Lint, print, rehearse, run, sign and verify scripted key ceremonies',
    'ceremony rehearse ceremonies/generate-fpe-key.yaml',
  )
  addPlanCommands(group, dispatch)
  addRehearseCommand(group, dispatch)
  addRunCommands(group, dispatch)
  addEvidenceCommands(group, dispatch)
}
