/** Pattern lists of ssh_config(5), PATTERNS: `*`, `?`, comma-separated, `!` negates. */

/** Glob match without recursion: after a mismatch, the last `*` takes one character more. */
function matchesPattern(text: string, pattern: string): boolean {
  let [at, to, star, resume] = [0, 0, -1, 0]
  while (at < text.length) {
    const wanted = pattern[to]
    if (wanted === '*') {
      star = to
      resume = at
      to += 1
    } else if (wanted === '?' || (wanted !== undefined && wanted === text[at])) {
      at += 1
      to += 1
    } else if (star >= 0) {
      resume += 1
      at = resume
      to = star + 1
    } else {
      return false
    }
  }
  while (pattern[to] === '*') to += 1
  return to === pattern.length
}

/** True when some pattern matches and no negated one does (match_pattern_list of OpenSSH returns 1). */
export function matchesPatternList(text: string, list: string): boolean {
  const patterns = list.split(',')
  const negated = patterns.filter((pattern) => pattern.startsWith('!'))
  if (negated.some((pattern) => matchesPattern(text, pattern.slice(1)))) return false
  return patterns.some((pattern) => !pattern.startsWith('!') && matchesPattern(text, pattern))
}
