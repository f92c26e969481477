/** A signature made on another machine: the message goes out, the armored signature comes back. */
import { decodeSshsig, encodeSshsig } from './sshsig.ts'
import type { SshSigner, SshsigNamespace } from './types.ts'

/** How the message leaves and the signature arrives: files on a medium, a QR code, a terminal. */
export interface DetachedOptions {
  readonly principal: string
  /** Hands the message out; the person signs it with `ssh-keygen -Y sign -n NAMESPACE`. */
  offer(namespace: SshsigNamespace, message: Uint8Array): Promise<void>
  /** The armored signature, once it is there. */
  receive(namespace: SshsigNamespace): Promise<string>
}

/**
 * A signer of two callbacks. It brings the armor into its one form (a medium may have turned line ends) and checks
 * nothing else: whoever uses the signature verifies it. `sign` throws FormatError when no signature comes back.
 */
export const detachedSigner = (options: DetachedOptions): SshSigner => ({
  principal: options.principal,
  async sign(namespace, message) {
    await options.offer(namespace, message)
    const armored = await options.receive(namespace)
    return encodeSshsig(decodeSshsig(armored.replaceAll('\r\n', '\n')))
  },
})
