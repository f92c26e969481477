/** PEM as Node's TLS takes it. */

/** Text or bytes; several blocks in one are fine. */
export type Pem = string | Uint8Array

/** One, for Node. */
export const nodePem = (pem: Pem): string | Buffer =>
  typeof pem === 'string' ? pem : Buffer.from(pem)

/** One or several, for Node. */
export const nodePems = (pems: Pem | readonly Pem[]): (string | Buffer)[] =>
  typeof pems === 'string' || pems instanceof Uint8Array ? [nodePem(pems)] : pems.map(nodePem)
