/** Throw-away certificate authorities and certificates, made with openssl. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Key and certificate in PEM. */
export interface Identity {
  readonly key: string
  readonly cert: string
}

/** For {@link authority}`.issue`. */
export interface Wanted {
  /** Common name. */
  readonly name: string
  /** subjectAltName in openssl's spelling. */
  readonly alternative?: string
  readonly use: 'serverAuth' | 'clientAuth'
  /** `YYYYMMDDHHMMSSZ`; default: now and a day from now. */
  readonly from?: string
  readonly to?: string
}

export interface Authority {
  readonly cert: string
  issue(wanted: Wanted): Identity
}

/** @param directory - where openssl keeps its files */
export function authority(directory: string, name: string): Authority {
  const file = (suffix: string) => join(directory, `${name}${suffix}`)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' })
  const keyOptions = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl(
    ...['req', '-x509', ...keyOptions, '-keyout', file('.key'), '-out', file('.crt')],
    ...['-subj', `/CN=${name}`, '-days', '2', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
  )
  writeFileSync(file('.db'), '')
  writeFileSync(
    file('.cnf'),
    `[ca]\ndefault_ca=own\n[own]\ndatabase=${file('.db')}\nnew_certs_dir=${directory}\nrand_serial=yes\n` +
      'default_md=sha256\npolicy=any\nunique_subject=no\n[any]\ncommonName=supplied\n',
  )
  let issued = 0
  return {
    cert: readFileSync(file('.crt'), 'utf8'),
    issue({ name: subject, alternative, use, from, to }) {
      const own = (suffix: string) => file(`-${issued}${suffix}`)
      issued++
      openssl(
        ...['req', '-new', ...keyOptions, '-keyout', own('.key'), '-out', own('.csr')],
        ...['-subj', `/CN=${subject}`],
      )
      const lines = [`extendedKeyUsage=${use}`]
      if (alternative !== undefined) lines.push(`subjectAltName=${alternative}`)
      writeFileSync(own('.ext'), `${lines.join('\n')}\n`)
      openssl(
        ...[
          'ca',
          '-batch',
          '-config',
          file('.cnf'),
          '-keyfile',
          file('.key'),
          '-cert',
          file('.crt'),
        ],
        ...['-in', own('.csr'), '-out', own('.crt'), '-extfile', own('.ext'), '-notext'],
        ...(from === undefined ? [] : ['-startdate', from]),
        ...(to === undefined ? ['-days', '1'] : ['-enddate', to]),
      )
      return { key: readFileSync(own('.key'), 'utf8'), cert: readFileSync(own('.crt'), 'utf8') }
    },
  }
}
