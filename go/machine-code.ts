/** A call, or a jump in a call's place, of a function whose address the instruction itself holds. */
export interface Call {
  /** Address of the instruction. */
  readonly at: number;
  readonly target: number;
  /** What the registers of Go's calling convention hold, in its order: a number or an address; undefined where unknown. */
  readonly registers: readonly (number | undefined)[];
}

/** An instruction names an address relative to its own: that of a constant or a global variable. */
interface Reference {
  readonly at: number;
  readonly target: number;
}

/** What can be read in a function's instructions without running them. */
export interface FunctionCode {
  readonly calls: readonly Call[];
  readonly references: readonly Reference[];
}

/** Instructions of one function, in a section's bytes. */
export interface CodeRange {
  readonly section: Buffer;
  /** Address of the section's first byte. */
  readonly address: number;
  /** Of the function, in the section. */
  readonly start: number;
  readonly end: number;
}

export type Architecture = 'amd64' | 'arm64';

export function readCode(architecture: Architecture, range: CodeRange): FunctionCode {
  return architecture === 'amd64' ? readAmd64(range) : readArm64(range);
}

/**
 * Whether a function may call one of `targets`: quick, and never wrong in saying no.
 * On amd64 the byte of a CALL or JMP may as well be part of another instruction.
 */
export function mayCall(architecture: Architecture, range: CodeRange, targets: ReadonlySet<number>): boolean {
  const { section, address, start, end } = range;
  if (architecture === 'arm64') {
    for (let at = start; at < end; at += 4) {
      const word = section.readUInt32LE(at);
      if ((word & 0x7c000000) === 0x14000000 && targets.has(address + at + branchOffset(word))) return true;
    }
    return false;
  }
  for (let at = start; at + 5 <= end; at++) {
    const byte = section[at]!;
    if (byte !== 0xe8 && byte !== 0xe9) continue;
    if (targets.has(address + at + 5 + section.readInt32LE(at + 1))) return true;
  }
  return false;
}

/** Whether a function may load one of `targets`, or its address: as quick, and as sure in saying no. */
export function mayRefer(architecture: Architecture, range: CodeRange, targets: ReadonlyMap<number, unknown>): boolean {
  if (architecture === 'arm64') return true;
  const { section, address, start, end } = range;
  for (let at = start; at + 5 <= end; at++) {
    // ModRM says: relative to the next instruction, by the 32 bits that follow.
    if ((section[at]! & 0xc7) === 0x05 && targets.has(address + at + 5 + section.readInt32LE(at + 1))) return true;
  }
  return false;
}

/** B and BL: 26 bits, in words. */
function branchOffset(word: number): number {
  return ((word << 6) >> 6) * 4;
}

type Registers = (number | undefined)[];

/**
 * https://go.dev/s/regabi: AX, BX, CX, DI, SI, R8, R9 by their numbers.
 */
const amd64Arguments = [0, 3, 1, 7, 6, 8, 9];

interface Instruction {
  readonly at: number;
  readonly next: number;
  readonly map: number;
  readonly opcode: number;
  readonly wide: boolean;
  /** Of the ModRM byte, with REX; undefined without one. */
  readonly mode: number | undefined;
  readonly reg: number;
  readonly rm: number;
  readonly immediate: number | undefined;
  /** What it names relative to itself: a jump's target, a constant's or variable's address. */
  readonly relative: number | undefined;
  /** Of a VEX or EVEX prefix. */
  readonly vector: number | undefined;
}

const isJump = ({ map, opcode }: Instruction): boolean =>
  map === 0
    ? (opcode >= 0x70 && opcode < 0x80) || opcode === 0xeb || opcode === 0xe9 || (opcode >= 0xe0 && opcode < 0xe4)
    : map === 1 && opcode >= 0x80 && opcode < 0x90;

/** Follows constants from one instruction to the next, up to where another way may join: only then is a value certain. */
function readAmd64({ section, address, start, end }: CodeRange): FunctionCode {
  const instructions: Instruction[] = [];
  const joins = new Set<number>();
  const references: Reference[] = [];
  for (let at = start; at < end; ) {
    const instruction = decodeAmd64(section, at, end);
    // What isn't known here ends the reading: the length decides where the next one begins.
    if (instruction === undefined) break;
    if (instruction.relative !== undefined) {
      if (isJump(instruction)) joins.add(instruction.relative);
      else if (instruction.opcode !== 0xe8 || instruction.map !== 0) {
        references.push({ at: address + at, target: address + instruction.relative });
      }
    }
    instructions.push(instruction);
    at = instruction.next;
  }
  const calls: Call[] = [];
  let registers: Registers = [];
  for (const instruction of instructions) {
    const { at, map, opcode, relative, reg } = instruction;
    if (joins.has(at)) registers = [];
    const isCall = map === 0 && opcode === 0xe8;
    const isTailCall = map === 0 && opcode === 0xe9 && (relative! < start || relative! >= end);
    if (isCall || isTailCall) {
      calls.push({
        at: address + at,
        target: address + relative!,
        registers: amd64Arguments.map((register) => registers[register]),
      });
    }
    const isUnconditional = map === 0 && (opcode === 0xe9 || opcode === 0xeb || opcode === 0xc3);
    const isIndirect = map === 0 && opcode === 0xff && (reg & 7) >= 2 && (reg & 7) <= 5;
    if (isCall || isUnconditional || isIndirect) registers = [];
    else applyAmd64(instruction, registers, address);
  }
  return { calls, references };
}

/** Those of the two-byte map that touch no general register: moves and zeroes of vectors, and NOP. */
const vectorOnly = new Set([0x10, 0x11, 0x1f, 0x28, 0x29, 0x57, 0x6f, 0x7f, 0xef]);

function applyAmd64(instruction: Instruction, registers: Registers, address: number): void {
  const { map, opcode, wide, mode, reg, rm, immediate, relative, vector } = instruction;
  const forget = (...numbers: number[]): void => {
    for (const number of numbers) registers[number] = undefined;
  };
  if (vector !== undefined) {
    forget(reg, rm, vector);
  } else if (map !== 0) {
    const isHarmless = map === 1 && (vectorOnly.has(opcode) || (opcode >= 0x80 && opcode < 0x90));
    // CPUID writes four that it does not name.
    if (!isHarmless) forget(0, 1, 2, 3, reg, rm);
  } else if (opcode === 0x8d) {
    registers[reg] = mode === 0 && relative !== undefined && wide ? address + relative : undefined;
  } else if (opcode >= 0xb8 && opcode < 0xc0) {
    registers[rm] = immediate;
  } else if ((opcode === 0x31 || opcode === 0x33) && mode === 3 && reg === rm) {
    registers[reg] = 0;
  } else if (opcode === 0x89) {
    if (mode === 3) registers[rm] = registers[reg];
  } else if (opcode === 0x8b) {
    registers[reg] = mode === 3 ? registers[rm] : undefined;
  } else if (opcode === 0xc7) {
    if (mode === 3) registers[rm] = immediate;
  } else if ((opcode >= 0x50 && opcode < 0x58) || (opcode >= 0x70 && opcode < 0x80) || opcode === 0x90) {
    // PUSH, conditional jumps, NOP.
  } else if ((opcode >= 0x38 && opcode < 0x3c) || opcode === 0x84 || opcode === 0x85 || opcode === 0x88) {
    // Comparisons, and a store of a byte.
    if (opcode === 0x88 && mode === 3) forget(rm);
  } else if (opcode === 0x80 || opcode === 0x81 || opcode === 0x83) {
    if (mode === 3) forget(rm);
  } else {
    // AX, CX, DX, SI, DI: what some instructions use without naming it.
    forget(0, 1, 2, 6, 7, reg, rm);
  }
}

const noModrm = new Set([0x05, 0x06, 0x07, 0x08, 0x09, 0x0b, 0x77, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xaa]);
const byteImmediate = new Set([0x70, 0x71, 0x72, 0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6]);

/**
 * One instruction's length and operands, as far as Go's compiler and assembler make it.
 * Intel 64 Architectures Software Developer's Manual, volume 2, appendix A.
 */
function decodeAmd64(code: Buffer, at: number, end: number): Instruction | undefined {
  let next = at;
  let is16 = false;
  let rex = 0;
  for (; ; next++) {
    const byte = code[next];
    if (byte === 0x66) is16 = true;
    else if (byte !== 0xf2 && byte !== 0xf3 && byte !== 0xf0 && byte !== 0x64 && byte !== 0x65 && byte !== 0x2e) break;
  }
  if ((code[next]! & 0xf0) === 0x40) rex = code[next++]!;
  let opcode = code[next++]!;
  let map = 0;
  let vector: number | undefined;
  if (opcode === 0xc5 || opcode === 0xc4 || opcode === 0x62) {
    const first = code[next]!;
    const size = opcode === 0xc5 ? 1 : opcode === 0xc4 ? 2 : 3;
    const last = code[next + Math.min(size, 2) - 1]!;
    map = opcode === 0xc5 ? 1 : first & (opcode === 0xc4 ? 0x1f : 0x07);
    // The prefix holds them inverted.
    rex = (opcode === 0xc5 ? (~first >> 5) & 4 : (~first >> 5) & 7) | (size > 1 && last & 0x80 ? 8 : 0);
    vector = (~last >> 3) & 0xf;
    next += size;
    opcode = code[next++]!;
  } else if (opcode === 0x0f) {
    map = 1;
    opcode = code[next++]!;
    if (opcode === 0x38 || opcode === 0x3a) {
      map = opcode === 0x38 ? 2 : 3;
      opcode = code[next++]!;
    }
  }
  const wide = (rex & 8) !== 0;
  const low = opcode & 7;
  let immediateBytes = 0;
  let hasModrm = true;
  let isRelative = false;
  const wordImmediate = is16 ? 2 : 4;
  if (map === 0) {
    if (opcode < 0x40) {
      if (low >= 6) return undefined;
      hasModrm = low < 4;
      immediateBytes = low === 4 ? 1 : low === 5 ? wordImmediate : 0;
    } else if (opcode < 0x60) hasModrm = false;
    else if (opcode < 0x80) {
      if (opcode < 0x63 || (opcode > 0x63 && opcode < 0x68)) return undefined;
      hasModrm = opcode === 0x63 || opcode === 0x69 || opcode === 0x6b;
      isRelative = opcode >= 0x70;
      immediateBytes =
        opcode === 0x68 || opcode === 0x69 ? wordImmediate : isRelative || opcode === 0x6a || opcode === 0x6b ? 1 : 0;
    } else if (opcode < 0x90)
      immediateBytes = opcode === 0x81 ? wordImmediate : opcode === 0x80 || opcode === 0x83 ? 1 : 0;
    else if (opcode < 0xc0) {
      if (opcode === 0x9a) return undefined;
      hasModrm = false;
      if (opcode >= 0xa0 && opcode < 0xa4) immediateBytes = 8;
      else if (opcode === 0xa8 || (opcode >= 0xb0 && opcode < 0xb8)) immediateBytes = 1;
      else if (opcode === 0xa9) immediateBytes = wordImmediate;
      else if (opcode >= 0xb8) immediateBytes = wide ? 8 : wordImmediate;
    } else if (opcode < 0xe0) {
      hasModrm = opcode === 0xc0 || opcode === 0xc1 || opcode === 0xc6 || opcode === 0xc7 || opcode >= 0xd0;
      if (opcode === 0xc7) immediateBytes = wordImmediate;
      else if (opcode === 0xc0 || opcode === 0xc1 || opcode === 0xc6 || opcode === 0xcd) immediateBytes = 1;
      else if (opcode === 0xc2 || opcode === 0xca) immediateBytes = 2;
      else if (opcode === 0xc8) immediateBytes = 3;
    } else if (opcode < 0xf0) {
      if (opcode === 0xea) return undefined;
      hasModrm = false;
      isRelative = opcode < 0xe4 || (opcode >= 0xe8 && opcode < 0xec);
      immediateBytes = opcode === 0xe8 || opcode === 0xe9 ? 4 : opcode < 0xe8 || opcode === 0xeb ? 1 : 0;
    } else {
      hasModrm = opcode === 0xf6 || opcode === 0xf7 || opcode >= 0xfe;
      // Only TEST has one; which it is, ModRM tells.
      if ((opcode === 0xf6 || opcode === 0xf7) && (code[next]! & 0x38) < 0x10) {
        immediateBytes = opcode === 0xf6 ? 1 : wordImmediate;
      }
    }
  } else if (map === 1) {
    isRelative = vector === undefined && opcode >= 0x80 && opcode < 0x90;
    hasModrm =
      !isRelative && !noModrm.has(opcode) && !(opcode >= 0x30 && opcode < 0x38) && !(opcode >= 0xc8 && opcode < 0xd0);
    immediateBytes = isRelative ? 4 : byteImmediate.has(opcode) ? 1 : 0;
  } else if (map === 3) immediateBytes = 1;
  else if (map !== 2) return undefined;

  let mode: number | undefined;
  let reg = 0;
  let rm = low | ((rex & 1) << 3);
  let displacementAt: number | undefined;
  if (hasModrm) {
    const modrm = code[next++]!;
    mode = modrm >> 6;
    reg = ((modrm >> 3) & 7) | ((rex & 4) << 1);
    rm = (modrm & 7) | ((rex & 1) << 3);
    if (mode !== 3) {
      const isRip = mode === 0 && (modrm & 7) === 5;
      const hasNoBase = (modrm & 7) === 4 && (code[next++]! & 7) === 5 && mode === 0;
      if (isRip) displacementAt = next;
      next += mode === 1 ? 1 : mode === 2 || isRip || hasNoBase ? 4 : 0;
    }
  }
  const immediateAt = next;
  next += immediateBytes;
  if (next > end) return undefined;
  let immediate: number | undefined;
  if (immediateBytes === 1) immediate = code.readInt8(immediateAt);
  else if (immediateBytes === 4) immediate = code.readInt32LE(immediateAt);
  const relative = isRelative
    ? next + immediate!
    : displacementAt === undefined
      ? undefined
      : next + code.readInt32LE(displacementAt);
  return { at, next, map, opcode, wide, mode, reg, rm, immediate, relative, vector };
}

/** As `readAmd64`. Arm Architecture Reference Manual, C4.1: A64 instruction set encoding. */
function readArm64({ section, address, start, end }: CodeRange): FunctionCode {
  const joins = new Set<number>();
  for (let at = start; at < end; at += 4) {
    const offset = jumpOffset(section.readUInt32LE(at));
    if (offset !== undefined) joins.add(at + offset);
  }
  const calls: Call[] = [];
  const references: Reference[] = [];
  let registers: Registers = [];
  for (let at = start; at < end; at += 4) {
    const word = section.readUInt32LE(at);
    const [destination, source] = [word & 31, (word >>> 5) & 31];
    if (joins.has(at)) registers = [];
    if ((word & 0x7c000000) === 0x14000000) {
      const target = at + branchOffset(word);
      const isCall = word >>> 31 === 1;
      if (isCall || target < start || target >= end) {
        calls.push({ at: address + at, target: address + target, registers: registers.slice(0, 7) });
      }
      registers = [];
    } else if ((word & 0xfe000000) >>> 0 === 0xd6000000) {
      // BR, BLR, RET.
      registers = [];
    } else if ((word & 0x9f000000) >>> 0 === 0x90000000) {
      const pages = (((word >>> 5) & 0x7ffff) << 2) | ((word >>> 29) & 3);
      const page = address + at - ((address + at) % 4096) + ((pages << 11) >> 11) * 4096;
      registers[destination] = page;
    } else if ((word & 0x9f000000) >>> 0 === 0x10000000) {
      const bytes = (((word >>> 5) & 0x7ffff) << 2) | ((word >>> 29) & 3);
      registers[destination] = address + at + ((bytes << 11) >> 11);
      references.push({ at: address + at, target: registers[destination]! });
    } else if ((word & 0xffc00000) >>> 0 === 0x91000000) {
      const base = registers[source];
      registers[destination] = base === undefined ? undefined : base + ((word >>> 10) & 0xfff);
      if (base !== undefined) references.push({ at: address + at, target: registers[destination]! });
    } else if ((word & 0xffc00000) >>> 0 === 0xf9400000) {
      const base = registers[source];
      if (base !== undefined) {
        references.push({ at: address + at, target: base + ((word >>> 10) & 0xfff) * 8 });
      }
      registers[destination] = undefined;
    } else if ((word & 0x7fe00000) === 0x52800000) {
      registers[destination] = (word >>> 5) & 0xffff;
    } else if ((word & 0xffe0ffe0) >>> 0 === 0xaa0003e0) {
      // MOV of a register; 31 is zero.
      const from = (word >>> 16) & 31;
      registers[destination] = from === 31 ? 0 : registers[from];
    } else if ((word & 0xffc003e0) >>> 0 === 0xb24003e0) {
      registers[destination] = ones((word >>> 10) & 0x3f, (word >>> 16) & 0x3f);
    } else if (!isArm64Store(word) && jumpOffset(word) === undefined) {
      // Most write the first, a load of two the second as well.
      registers[destination] = undefined;
      registers[(word >>> 10) & 31] = undefined;
    }
  }
  return { calls, references };
}

/** What ORR makes of zero: one more than `count` ones, rotated to the right. Undefined where that is no small number. */
function ones(count: number, rotation: number): number | undefined {
  const shift = (64 - rotation) % 64;
  return shift + count < 52 ? (2 ** (count + 1) - 1) * 2 ** shift : undefined;
}

/** Of a branch within a function; undefined for everything else. */
function jumpOffset(word: number): number | undefined {
  const isConditional = (word & 0xff000000) >>> 0 === 0x54000000 || (word & 0x7e000000) === 0x34000000;
  if (isConditional) return ((word << 8) >> 13) * 4;
  if ((word & 0x7e000000) === 0x36000000) return ((word << 13) >> 18) * 4;
  return (word & 0xfc000000) === 0x14000000 ? branchOffset(word) : undefined;
}

/** STR with an unsigned or unscaled offset, and STP, that leave the base register as it is. */
function isArm64Store(word: number): boolean {
  const isUnsigned = (word & 0x3bc00000) === 0x39000000;
  const isUnscaled = (word & 0x3be00c00) === 0x38000000;
  const isPair = (word & 0x3bc00000) === 0x29000000;
  return isUnsigned || isUnscaled || isPair;
}
