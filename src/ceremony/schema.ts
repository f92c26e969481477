/** JSON Schema (2020-12) of the files people write, generated from the zod schemas that read them. */
import * as z from 'zod'

import { bindingSchema } from './binding-schema.ts'
import { anyStep, planSchema } from './plan-schema.ts'
import { policySchema } from './policy.ts'

const text = (schema: z.ZodType, title: string): string => {
  const generated = z.toJSONSchema(schema, { io: 'input', target: 'draft-2020-12' })
  return `${JSON.stringify({ ...generated, title }, null, 2)}\n`
}

/**
 * Text of each schema by file name in `ceremonies/`. They are for editors and for a first look; the loader
 * and the linter check more (one of six step kinds, names, order).
 */
export const schemaFiles = (): Readonly<Record<string, string>> => ({
  'plan.schema.json': text(planSchema(anyStep), 'keyrite ceremony plan'),
  'binding.schema.json': text(bindingSchema, 'keyrite site binding'),
  'policy.schema.json': text(policySchema, 'keyrite ceremony policy'),
})
