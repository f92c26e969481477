/**
 * Country codes of ITU-T E.164: assigned and reserved codes of the list annexed to the ITU Operational
 * Bulletin. No code is the beginning of another, so a number has one.
 */
const CODES = `
1 7 20 27 30-34 36 39 40 41 43-49 51-58 60-66 81 82 84 86 90-95 98
211-213 216 218 220-258 260-269 290 291 297-299 350-359 370-383 385-387 389
420 421 423 500-509 590-599 670 672-683 685-692
800 808 850 852 853 855 856 870 878 880-883 886 888 960-968 970-977 979 992-996 998`

/** Codes without the plus sign. */
export const COUNTRY_CODES: ReadonlySet<string> = new Set(
  CODES.trim()
    .split(/\s+/)
    .flatMap((entry) => {
      const [first = 0, last = first] = entry.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, i) => String(first + i))
    }),
)
