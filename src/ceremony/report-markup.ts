/** HTML that cannot be injected into: every interpolated value is escaped unless it is markup already. */

/** Text that is HTML. Only {@link html} makes it. */
export interface Markup {
  readonly html: string
}

type Value = Markup | string | number | undefined | readonly (Markup | string)[]

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/**
 * Escapes text for HTML content and quoted attributes. Controls and bidirectional overrides (Unicode
 * TR 36 §2.5) are shown as code points, so that a name cannot reorder the line it stands in.
 */
export const escapeHtml = (text: string): string =>
  text
    .replaceAll(/[&<>"']/g, (character) => ESCAPES[character] ?? '')
    .replaceAll(
      /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g,
      (character) => `[U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}]`,
    )

function render(value: Value): string {
  if (value === undefined) return ''
  if (typeof value === 'string') return escapeHtml(value)
  if (typeof value === 'number') return String(value)
  if (Array.isArray(value)) return value.map(render).join('')
  return (value as Markup).html
}

/** Template tag; arrays are joined, undefined is nothing. */
export const html = (strings: TemplateStringsArray, ...values: readonly Value[]): Markup => ({
  html: strings.reduce((text, part, at) => `${text}${render(values[at - 1])}${part}`),
})

/** Constant text of this program, e.g. a style sheet; never data. */
export const constant = (text: string): Markup => ({ html: text })
