/** A Cryptoki port that announces each call before it is made. */
import type { Cryptoki } from './cryptoki.ts'

/** C functions whose name is not `C_` and the method's name. */
const C_NAMES: Readonly<Record<string, string>> = {
  info: 'C_GetInfo',
  slots: 'C_GetSlotList',
  slotInfo: 'C_GetSlotInfo',
  tokenInfo: 'C_GetTokenInfo',
  mechanismList: 'C_GetMechanismList',
  mechanismInfo: 'C_GetMechanismInfo',
  sessionInfo: 'C_GetSessionInfo',
  initPin: 'C_InitPIN',
  setPin: 'C_SetPIN',
  getAttributes: 'C_GetAttributeValue',
  setAttributes: 'C_SetAttributeValue',
  signFinish: 'C_Sign',
  encryptBlocks: 'C_Encrypt',
  feistel: 'C_Encrypt',
  close: 'C_Finalize',
}

const cName = (method: string): string =>
  C_NAMES[method] ?? `C_${method.charAt(0).toUpperCase()}${method.slice(1)}`

/** `announce` hears the C function of every call, before the module does. */
export function traced(cryptoki: Cryptoki, announce: (fn: string) => void): Cryptoki {
  return new Proxy(cryptoki, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target)
      if (typeof value !== 'function' || typeof property !== 'string') return value
      return (...args: unknown[]): unknown => {
        announce(cName(property))
        return Reflect.apply(value, target, args)
      }
    },
  })
}
