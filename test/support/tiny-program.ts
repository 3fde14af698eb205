/** A program for arm64, made by hand: writes "hi" into /made and ends. */
export function arm64Program(): Buffer {
  const code = [
    0x92800c60, // mov  x0, #-100        AT_FDCWD
    adr(1, 1), //  adr  x1, path
    0xd2800822, // mov  x2, #0x41        O_WRONLY|O_CREAT
    0xd2803483, // mov  x3, #0644
    0xd2800708, // mov  x8, #56          openat
    0xd4000001, // svc  #0
    adr(1, 6, 8), // adr x1, text
    0xd2800062, // mov  x2, #3
    0xd2800808, // mov  x8, #64          write
    0xd4000001, // svc  #0
    0xd2800000, // mov  x0, #0
    0xd2800ba8, // mov  x8, #93          exit
    0xd4000001, // svc  #0
  ]
  const text = Buffer.alloc(codeWords * 4)
  for (const [index, word] of code.entries()) text.writeUInt32LE(word, index * 4)
  const body = Buffer.concat([text, Buffer.from('/made\0\0\0hi\n')])
  return Buffer.concat([elfHeaders(body.length), body])
}

const codeWords = 13
const headBytes = 120

/** `adr xN, data + offset`, standing at the instruction of that number. */
function adr(register: number, at: number, offset = 0): number {
  const distance = (codeWords - at) * 4 + offset
  return (0x10000000 | ((distance & 3) << 29) | ((distance >> 2) << 5) | register) >>> 0
}

/** One segment, loaded whole at 0x400000. */
function elfHeaders(bodyBytes: number): Buffer {
  const head = Buffer.alloc(headBytes)
  head.write('\x7fELF\x02\x01\x01', 0, 'latin1')
  head.writeUInt16LE(2, 16)
  head.writeUInt16LE(0xb7, 18)
  head.writeUInt32LE(1, 20)
  head.writeBigUInt64LE(0x400000n + BigInt(headBytes), 24)
  head.writeBigUInt64LE(64n, 32)
  head.writeUInt16LE(64, 52)
  head.writeUInt16LE(56, 54)
  head.writeUInt16LE(1, 56)
  head.writeUInt32LE(1, 64)
  head.writeUInt32LE(5, 68)
  head.writeBigUInt64LE(0x400000n, 80)
  head.writeBigUInt64LE(0x400000n, 88)
  head.writeBigUInt64LE(BigInt(headBytes + bodyBytes), 96)
  head.writeBigUInt64LE(BigInt(headBytes + bodyBytes), 104)
  head.writeBigUInt64LE(0x10000n, 112)
  return head
}
