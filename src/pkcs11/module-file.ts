/**
 * Looks at a module file before it is loaded: dlopen of a wrong file can run its code or crash.
 * Header fields: System V ABI "ELF header"; Mach-O from Apple's loader.h and fat.h.
 */
import { closeSync, openSync, readSync, realpathSync, statSync } from 'node:fs'

import { errnoOf } from '../errno.ts'
import { TokenError } from '../errors.ts'

/** The ELF header of 64-bit files. */
const HEADER_BYTES = 64
const PROGRAM_HEADER_BYTES = 56
const ELF_MAGIC = 0x7f454c46
const ELF_CLASS_64 = 2
const ELF_LITTLE_ENDIAN = 1
const ELF_TYPE_SHARED = 3
/** e_machine of the platforms Node runs on. */
const ELF_MACHINES: Readonly<Partial<Record<NodeJS.Architecture, number>>> = {
  x64: 62,
  arm64: 183,
  riscv64: 243,
  loong64: 258,
}
const MACHO_64 = 0xcffaedfe
const MACHO_FAT = 0xcafebabe

function invalid(path: string, expected: string, got: string, hint: string): TokenError {
  return new TokenError('MODULE_INVALID', 'not a PKCS#11 module for this machine', {
    where: path,
    expected,
    got,
    hint,
  })
}

function read(path: string, length: number, at: number): Buffer {
  const file = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(length)
    return bytes.subarray(0, readSync(file, bytes, 0, length, at))
  } finally {
    closeSync(file)
  }
}

/** End of the last segment: a file cut off before it makes dlopen die of SIGBUS. */
function endOfSegments(path: string, header: Buffer): bigint {
  const at = header.readBigUInt64LE(32)
  const count = header.readUInt16LE(56)
  const table = read(path, count * PROGRAM_HEADER_BYTES, Number(at))
  if (table.length < count * PROGRAM_HEADER_BYTES) return at + BigInt(count * PROGRAM_HEADER_BYTES)
  let end = 0n
  for (let row = 0; row < count; row++) {
    const entry = table.subarray(row * PROGRAM_HEADER_BYTES)
    const segmentEnd = entry.readBigUInt64LE(8) + entry.readBigUInt64LE(32)
    if (segmentEnd > end) end = segmentEnd
  }
  return end
}

function checkElf(path: string, bytes: Buffer, size: number): void {
  const expected = `a 64-bit ELF shared object for ${process.arch}`
  const hint = 'use the module built for this machine'
  if (bytes.length < HEADER_BYTES) throw invalid(path, expected, 'a truncated ELF file', hint)
  if (bytes[4] !== ELF_CLASS_64 || bytes[5] !== ELF_LITTLE_ENDIAN) {
    throw invalid(path, expected, 'an ELF file of another word size or byte order', hint)
  }
  const type = bytes.readUInt16LE(16)
  if (type !== ELF_TYPE_SHARED) throw invalid(path, expected, `ELF type ${type}`, hint)
  const machine = bytes.readUInt16LE(18)
  const wanted = ELF_MACHINES[process.arch]
  if (wanted !== undefined && machine !== wanted) {
    throw invalid(path, expected, `ELF machine ${machine}`, hint)
  }
  if (bytes.readUInt16LE(54) !== PROGRAM_HEADER_BYTES || endOfSegments(path, bytes) > size) {
    throw invalid(path, expected, 'a truncated ELF file', 'copy the module again')
  }
}

/**
 * The real path of a module file that looks like a shared object of this machine.
 * @throws TokenError MODULE_NOT_FOUND, MODULE_INVALID.
 */
export function moduleFile(path: string): string {
  let real: string
  let bytes: Buffer
  let size: number
  try {
    real = realpathSync(path)
    const stat = statSync(real)
    if (!stat.isFile()) {
      throw invalid(path, 'a file', 'a directory or device', 'name the .so file itself')
    }
    size = stat.size
    bytes = read(real, HEADER_BYTES, 0)
  } catch (error) {
    if (error instanceof TokenError) throw error
    throw new TokenError('MODULE_NOT_FOUND', 'the PKCS#11 module cannot be read', {
      where: path,
      expected: 'a readable file',
      got: errnoOf(error),
      hint: 'check module-path; SoftHSM2 on Debian is /usr/lib/softhsm/libsofthsm2.so',
      cause: error,
    })
  }
  const magic = bytes.length >= 4 ? bytes.readUInt32BE(0) : 0
  if (magic === ELF_MAGIC) checkElf(real, bytes, size)
  else if (magic !== MACHO_64 && magic !== MACHO_FAT) {
    throw invalid(
      path,
      'an ELF or Mach-O shared object',
      'another kind of file',
      'name the .so file',
    )
  }
  return real
}
