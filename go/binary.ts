import { open } from 'node:fs/promises';
import { SlimGoError } from '../errors';
import { formatPlatform, type Platform } from '../platform';

/** What a file's header says about who can run it. `architecture` is GOARCH's name, absent where it is unknown to Go. */
export interface BinaryHeader {
  readonly format: 'elf' | 'mach-o' | 'pe' | 'wasm' | 'archive' | 'unknown';
  readonly architecture?: string;
  /** The dynamic loader that the kernel starts in the program's place (ELF's PT_INTERP). */
  readonly interpreter?: string;
  /** Shared libraries (ELF's DT_NEEDED). */
  readonly needed: readonly string[];
}

/** e_machine, EI_CLASS (bits), EI_DATA: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html */
const elfMachines: Readonly<Record<string, string>> = {
  '3/32/le': '386',
  '62/64/le': 'amd64',
  '40/32/le': 'arm',
  '183/64/le': 'arm64',
  '258/64/le': 'loong64',
  '8/32/be': 'mips',
  '8/32/le': 'mipsle',
  '8/64/be': 'mips64',
  '8/64/le': 'mips64le',
  '21/64/be': 'ppc64',
  '21/64/le': 'ppc64le',
  '243/64/le': 'riscv64',
  '22/64/be': 's390x',
};
const machoMachines: Readonly<Record<number, string>> = { 16777223: 'amd64', 16777228: 'arm64' };
const peMachines: Readonly<Record<number, string>> = { 332: '386', 34404: 'amd64', 43620: 'arm64', 452: 'arm' };

/**
 * Reads the header of an executable; only the ELF parts that decide whether it is static are followed.
 * @param start where in the file the executable begins
 */
export async function readBinary(file: string, start = 0): Promise<BinaryHeader> {
  const handle = await open(file, 'r');
  const readAt: ReadAt = async (offset, length) => {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, start + offset);
    return buffer.subarray(0, bytesRead);
  };
  try {
    const head = await readAt(0, 64);
    const magic = head.toString('latin1', 0, 8);
    if (magic.startsWith('\x7fELF')) return await readElf(readAt, head);
    if (magic === '!<arch>\n') return { format: 'archive', needed: [] };
    if (magic.startsWith('\0asm')) return { format: 'wasm', architecture: 'wasm', needed: [] };
    if (magic.startsWith('MZ') && head.length >= 64) {
      const pe = await readAt(head.readUInt32LE(60), 6);
      if (pe.toString('latin1', 0, 4) === 'PE\0\0') return machine('pe', peMachines[pe.readUInt16LE(4)]);
    }
    if (head.length >= 8 && (head.readUInt32LE(0) & 0xfffffffe) >>> 0 === 0xfeedface) {
      return machine('mach-o', machoMachines[head.readUInt32LE(4)]);
    }
    return { format: 'unknown', needed: [] };
  } catch (error) {
    // A header that is cut off or points past the end.
    if ((error as Error).name === 'RangeError') return { format: 'unknown', needed: [] };
    throw error;
  } finally {
    await handle.close();
  }
}

function machine(format: BinaryHeader['format'], architecture: string | undefined): BinaryHeader {
  return architecture === undefined ? { format, needed: [] } : { format, architecture, needed: [] };
}

type ReadAt = (offset: number, length: number) => Promise<Buffer>;

async function readElf(readAt: ReadAt, head: Buffer): Promise<BinaryHeader> {
  const is64 = head[4] === 2;
  const isLittle = head[5] === 1;
  const u16 = (bytes: Buffer, at: number): number => (isLittle ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at));
  const u32 = (bytes: Buffer, at: number): number => (isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const word = (bytes: Buffer, at: number): number =>
    is64 ? Number(isLittle ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at)) : u32(bytes, at);

  const architecture = elfMachines[`${u16(head, 18)}/${is64 ? 64 : 32}/${isLittle ? 'le' : 'be'}`];
  const [tableOffset, entrySize, count] = is64
    ? [word(head, 32), u16(head, 54), u16(head, 56)]
    : [word(head, 28), u16(head, 42), u16(head, 44)];
  const table = await readAt(tableOffset, entrySize * count);
  const segments = Array.from({ length: count }, (_, index) => {
    const at = index * entrySize;
    return is64
      ? { type: u32(table, at), offset: word(table, at + 8), address: word(table, at + 16), size: word(table, at + 32) }
      : { type: u32(table, at), offset: u32(table, at + 4), address: u32(table, at + 8), size: u32(table, at + 16) };
  });
  const [load, dynamic, interp] = [1, 2, 3];

  const interpreterSegment = segments.find(({ type }) => type === interp);
  const interpreter =
    interpreterSegment && cString(await readAt(interpreterSegment.offset, interpreterSegment.size), 0);

  const needed: string[] = [];
  const dynamicSegment = segments.find(({ type }) => type === dynamic);
  if (dynamicSegment) {
    const size = is64 ? 8 : 4;
    const bytes = await readAt(dynamicSegment.offset, dynamicSegment.size);
    const entries = Array.from({ length: Math.floor(bytes.length / (2 * size)) }, (_, index) => ({
      tag: word(bytes, index * 2 * size),
      value: word(bytes, index * 2 * size + size),
    }));
    const [dtNeeded, dtStringTable, dtStringSize] = [1, 5, 10];
    const value = (tag: number): number => entries.find((entry) => entry.tag === tag)?.value ?? 0;
    const address = value(dtStringTable);
    const home = segments.find((s) => s.type === load && s.address <= address && address < s.address + s.size);
    if (home) {
      const strings = await readAt(home.offset + address - home.address, value(dtStringSize));
      for (const { tag, value: at } of entries) if (tag === dtNeeded) needed.push(cString(strings, at));
    }
  }
  return {
    format: 'elf',
    ...(architecture !== undefined && { architecture }),
    ...(interpreter !== undefined && { interpreter }),
    needed,
  };
}

function cString(bytes: Buffer, at: number): string {
  const end = bytes.indexOf(0, at);
  return bytes.toString('utf8', at, end < 0 ? bytes.length : end);
}

const formats: Readonly<Record<string, BinaryHeader['format']>> = {
  windows: 'pe',
  darwin: 'mach-o',
  ios: 'mach-o',
  js: 'wasm',
  wasip1: 'wasm',
  // Their own formats, which nothing here reads.
  aix: 'unknown',
  plan9: 'unknown',
};

/**
 * Refuses a binary that the platform can't run.
 * @param name how messages call the binary
 * @throws BINARY_WRONG_PLATFORM
 */
export function verifyPlatform(header: BinaryHeader, platform: Platform, name: string): void {
  const format = formats[platform.os] ?? 'elf';
  if (format === 'unknown' || (header.format === format && header.architecture === platform.architecture)) return;
  throw new SlimGoError(
    'BINARY_WRONG_PLATFORM',
    `${name} is ${header.architecture ?? 'unknown'} (${header.format}), not ${formatPlatform(platform)}.`,
    {
      hint: 'Look for GOOS, GOARCH or -buildmode in args, env and GOFLAGS; the platforms option alone says what to build for.',
    },
  );
}

/** True when the kernel can start the program in an image that holds nothing else. */
export function isStatic({ interpreter, needed }: BinaryHeader): boolean {
  return interpreter === undefined && needed.length === 0;
}
