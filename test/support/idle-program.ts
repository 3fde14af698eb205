const base = 0x400000n
const headers = 64 + 56
/** mov eax, 34 (pause); syscall; and again. */
const code = Buffer.from('b8220000000f05ebf7', 'hex')

/** A static program for Linux on x86-64 that sleeps until it is killed: all that a pod needs to be Running. */
export function idleProgram(): Buffer {
  const elf = Buffer.alloc(headers + code.length)
  elf.write('7f454c46020101', 'hex')
  elf.writeUInt16LE(2, 16) // executable
  elf.writeUInt16LE(0x3e, 18) // x86-64
  elf.writeUInt32LE(1, 20)
  elf.writeBigUInt64LE(base + BigInt(headers), 24) // entry
  elf.writeBigUInt64LE(64n, 32) // program headers
  elf.writeUInt16LE(64, 52)
  elf.writeUInt16LE(56, 54)
  elf.writeUInt16LE(1, 56)
  elf.writeUInt32LE(1, 64) // one to load,
  elf.writeUInt32LE(5, 68) // to read and execute
  for (const at of [80, 88]) elf.writeBigUInt64LE(base, at)
  for (const at of [96, 104]) elf.writeBigUInt64LE(BigInt(elf.length), at)
  elf.writeBigUInt64LE(0x1000n, 112)
  code.copy(elf, headers)
  return elf
}
