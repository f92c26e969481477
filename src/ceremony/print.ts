/** Prints a plan as the room's paper script: HTML and PDF from the same content. */
import type { Binding } from './binding-types.ts'
import type { Plan } from './plan.ts'
import { printHtml } from './print-html.ts'
import { printPdf } from './print-pdf.ts'
import { scriptContent } from './script-content.ts'

/** What the script is printed for. */
export interface PrintOptions {
  /** SHA-256 of the plan, from `loadPlan`. */
  readonly digest: Uint8Array
  /** With it, names, serials and the module's hash are printed; without it they are blanks. */
  readonly binding?: { readonly binding: Binding; readonly digest: Uint8Array } | undefined
  /** Creation date in the PDF's information. Default: the Unix epoch, so that bytes depend on nothing else. */
  readonly date?: Date | undefined
}

/** The script. */
export interface PrintedScript {
  readonly html: string
  readonly pdf: Uint8Array
}

/** Same plan, binding and date: same bytes. Characters the embedded fonts lack are printed as U+XXXX. */
export async function printScript(plan: Plan, options: PrintOptions): Promise<PrintedScript> {
  const { digest, binding, date = new Date(0) } = options
  const content = scriptContent(plan, digest, binding)
  return { html: printHtml(content), pdf: await printPdf(content, date) }
}
