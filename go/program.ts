import { closeSync, openSync, readSync } from 'node:fs';
import { type BuildInfo, readBuildInfo } from './build-info';
import { type Architecture, type CodeRange, type FunctionCode, mayCall, mayRefer, readCode } from './machine-code';

/** A file, or a part of one, as in a layer's tar. */
export interface FileRange {
  readonly path: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

interface Section {
  readonly address: number;
  readonly offset: number;
  readonly size: number;
}

/** A function that the linker kept. */
export interface LinkedFunction {
  /** `example.com/shop.(*Cart).Add`, as stack traces have it, byte for character. */
  readonly name: string;
  /** Import path of its package. */
  readonly package: string;
  /** Address of its first instruction. */
  readonly entry: number;
  /** Address behind its last. */
  readonly end: number;
  /** Of what describes it, from the beginning of the table of functions. */
  readonly at: number;
}

const architectures: Readonly<Record<number, Architecture>> = { 62: 'amd64', 183: 'arm64' };
const tableMagic = 0xfffffff1;

/**
 * A Go program as the linker left it, stripped or not: the functions in it and what they call. Sections are read when they
 * are needed.
 *
 * What stack traces are made from stays in a stripped program: the table of functions (`.gopclntab`) with the tables of
 * inlined calls, found through the runtime's `moduledata`. Both have the same form from Go 1.20 on.
 * https://github.com/golang/go/blob/go1.26.0/src/runtime/symtab.go
 */
export class Program {
  readonly functions: readonly LinkedFunction[];
  private readonly table: Buffer;
  private readonly names: string;
  private readonly namesOffset: number;
  private readonly pcTables: number;
  private readonly functionTable: number;
  private readonly codes = new Map<LinkedFunction, FunctionCode>();
  private readonly read = new Map<string, Buffer>();

  private constructor(
    readonly info: BuildInfo,
    private readonly architecture: Architecture,
    private readonly fd: number,
    private readonly start: number,
    private readonly sections: ReadonlyMap<string, Section>,
    private readonly module: { readonly text: number; readonly functionData: number },
  ) {
    this.table = this.bytes('.gopclntab');
    const offset = (at: number): number => Number(this.table.readBigUInt64LE(at));
    this.namesOffset = offset(32);
    this.names = this.table.toString('latin1', this.namesOffset, offset(40));
    this.pcTables = offset(56);
    this.functionTable = offset(64);
    this.functions = this.readFunctions(offset(8));
  }

  /**
   * Reads what `work` asks for, and closes the file.
   * @returns undefined for what is no Go program that can be read here: another architecture, before Go 1.20, packed
   */
  static use<Result>(file: FileRange, work: (program: Program) => Result): Result | undefined {
    const fd = openSync(file.path, 'r');
    try {
      const program = Program.open(fd, file.offsetBytes);
      return program && work(program);
    } catch (error) {
      // A header or table that is cut off or points past the end.
      if (error instanceof RangeError) return undefined;
      throw error;
    } finally {
      closeSync(fd);
    }
  }

  private static open(fd: number, start: number): Program | undefined {
    const header = readAt(fd, start, 64);
    if (header.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') return undefined;
    const architecture = architectures[header.readUInt16LE(18)];
    const sections = readSections(fd, start, header);
    const [table, info] = [sections.get('.gopclntab'), sections.get('.go.buildinfo')];
    if (architecture === undefined || !table || !info) return undefined;
    if (readAt(fd, start + table.offset, 4).readUInt32LE(0) !== tableMagic) return undefined;
    const build = readBuildInfo(readAt(fd, start + info.offset, info.size));
    const module = findModule(fd, start, sections, table.address);
    return build && module && new Program(build, architecture, fd, start, sections, module);
  }

  /** What a function's instructions say. */
  code(of: LinkedFunction): FunctionCode {
    let code = this.codes.get(of);
    if (code === undefined) {
      code = readCode(this.architecture, this.rangeOf(of));
      this.codes.set(of, code);
    }
    return code;
  }

  /** Those among `functions` that call one of `targets` (entries) by address. */
  callers(functions: readonly LinkedFunction[], targets: ReadonlySet<number>): readonly LinkedFunction[] {
    return functions.filter(
      (one) =>
        mayCall(this.architecture, this.rangeOf(one), targets) &&
        this.code(one).calls.some(({ target }) => targets.has(target)),
    );
  }

  /** The places in a function that name one of `targets`, and which. */
  references<Value>(of: LinkedFunction, targets: ReadonlyMap<number, Value>): readonly { at: number; value: Value }[] {
    if (!this.codes.has(of) && !mayRefer(this.architecture, this.rangeOf(of), targets)) return [];
    return this.code(of).references.flatMap(({ at, target }) => {
      const value = targets.get(target);
      return value === undefined ? [] : [{ at, value }];
    });
  }

  /**
   * The functions that an instruction stands in by its source: the innermost of those that were inlined there first, the function
   * itself last.
   */
  frames(of: LinkedFunction, { at }: { readonly at: number }): readonly string[] {
    const names: string[] = [];
    const { table } = this;
    const tables = table.readUInt32LE(of.at + 28);
    const inlineTable = tables > 2 ? table.readUInt32LE(of.at + 44 + 2 * 4) : 0;
    const dataCount = table[of.at + 43]!;
    const dataOffset = dataCount > 3 ? table.readUInt32LE(of.at + 44 + tables * 4 + 3 * 4) : 0xffffffff;
    if (inlineTable !== 0 && dataOffset !== 0xffffffff) {
      let offset = at - of.entry;
      for (let depth = 0; depth < 100; depth++) {
        const index = this.valueAt(inlineTable, offset);
        if (index < 0) break;
        const inlined = this.memory(this.module.functionData + dataOffset + index * 16, 16);
        if (!inlined) break;
        names.push(this.nameAt(inlined.readInt32LE(4)));
        offset = inlined.readInt32LE(8);
      }
    }
    return [...names, of.name];
  }

  /** A string of so many bytes at an address that doesn't change while the program runs. */
  constant(address: number, length: number): string | undefined {
    return length === 0 ? '' : this.memory(address, length)?.toString('utf8');
  }

  /** Where `<scheme>://` stands in the read-only data, and variables that begin with the address of such a place. */
  findSchemes(schemes: readonly string[]): ReadonlyMap<number, string> {
    const found = new Map<number, string>();
    const constants = this.bytes('.rodata');
    for (let at = constants.indexOf('://'); at >= 0; at = constants.indexOf('://', at + 1)) {
      for (const scheme of schemes) {
        const start = at - scheme.length;
        if (start < 0 || constants.toString('latin1', start, at) !== scheme) continue;
        found.set(this.sections.get('.rodata')!.address + start, scheme);
      }
    }
    const variables = this.bytes('.data');
    for (let at = 0; at + 8 <= variables.length; at += 8) {
      // Below 4 GB, where Go links programs: the upper half is zero.
      if (variables.readUInt32LE(at + 4) !== 0) continue;
      const scheme = found.get(variables.readUInt32LE(at));
      if (scheme !== undefined) found.set(this.sections.get('.data')!.address + at, scheme);
    }
    return found;
  }

  private memory(address: number, length: number): Buffer | undefined {
    for (const name of ['.rodata', '.gopclntab']) {
      const section = this.sections.get(name);
      if (!section || address < section.address || address + length > section.address + section.size) continue;
      return this.bytes(name).subarray(address - section.address, address - section.address + length);
    }
    return undefined;
  }

  private bytes(name: string): Buffer {
    let bytes = this.read.get(name);
    if (bytes === undefined) {
      const section = this.sections.get(name);
      bytes = section ? readAt(this.fd, this.start + section.offset, section.size) : Buffer.alloc(0);
      this.read.set(name, bytes);
    }
    return bytes;
  }

  private readFunctions(count: number): LinkedFunction[] {
    const { table, functionTable, module } = this;
    const functions: LinkedFunction[] = [];
    let path = '';
    for (let index = 0; index < count; index++) {
      const field = functionTable + index * 8;
      const at = functionTable + table.readUInt32LE(field + 4);
      const name = this.nameAt(table.readInt32LE(at + 4));
      // A package's functions stand together, so nearly all have the one before's.
      const isSame = name.startsWith(path) && name[path.length] === '.' && name.indexOf('/', path.length) < 0;
      if (!isSame) path = packageOf(name);
      const [entry, end] = [module.text + table.readUInt32LE(field), module.text + table.readUInt32LE(field + 8)];
      functions.push({ name, package: path, entry, end, at });
    }
    return functions;
  }

  private nameAt(offset: number): string {
    return this.names.slice(offset, this.names.indexOf('\0', offset));
  }

  private rangeOf({ entry, end }: LinkedFunction): CodeRange {
    const { address } = this.sections.get('.text')!;
    const section = this.bytes('.text');
    return { section, address, start: entry - address, end: Math.min(end - address, section.length) };
  }

  /** The value that a table of the runtime has for an instruction. https://go.dev/s/go12symtab */
  private valueAt(table: number, offset: number): number {
    let at = this.pcTables + table;
    const quantum = this.architecture === 'arm64' ? 4 : 1;
    const next = (): number => {
      let value = 0;
      for (let shift = 0; ; shift += 7) {
        const byte = this.table.readUInt8(at++);
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80) return value >>> 0;
      }
    };
    let value = -1;
    for (let covered = 0, isFirst = true; ; isFirst = false) {
      const delta = next();
      if (delta === 0 && !isFirst) return -1;
      value += delta & 1 ? -((delta >>> 1) + 1) : delta >>> 1;
      covered += next() * quantum;
      if (offset < covered) return value;
    }
  }
}

/** `gopkg.in/yaml.v3` of `gopkg.in/yaml%2ev3.(*Decoder).Decode`. */
export function packageOf(name: string): string {
  const head = /^[^[({]*/.exec(name)![0];
  const dot = head.indexOf('.', head.lastIndexOf('/') + 1);
  const path = dot < 0 ? head : head.slice(0, dot);
  return path.includes('%')
    ? path.replace(/%([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    : path;
}

function readAt(fd: number, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
}

/** https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.sheader.html */
function readSections(fd: number, start: number, header: Buffer): ReadonlyMap<string, Section> {
  const [entryBytes, count, namesIndex] = [58, 60, 62].map((at) => header.readUInt16LE(at)) as [number, number, number];
  const table = readAt(fd, start + Number(header.readBigUInt64LE(40)), entryBytes * count);
  const section = (index: number): Section => {
    const [address, offset, size] = [16, 24, 32].map((at) => Number(table.readBigUInt64LE(index * entryBytes + at)));
    return { address: address!, offset: offset!, size: size! };
  };
  if (count === 0) return new Map();
  const { offset, size } = section(namesIndex);
  const names = readAt(fd, start + offset, size).toString('latin1');
  return new Map(
    Array.from({ length: count }, (_, index) => {
      const at = table.readUInt32LE(index * entryBytes);
      return [names.slice(at, names.indexOf('\0', at)), section(index)];
    }),
  );
}

/** The runtime's `moduledata` begins with the address of the table of functions. */
function findModule(
  fd: number,
  start: number,
  sections: ReadonlyMap<string, Section>,
  table: number,
): { readonly text: number; readonly functionData: number } | undefined {
  const wanted = Buffer.alloc(8);
  wanted.writeBigUInt64LE(BigInt(table));
  // From Go 1.26 on it has a section of its own.
  for (const name of ['.go.module', '.noptrdata', '.data']) {
    const section = sections.get(name);
    if (!section) continue;
    const bytes = readAt(fd, start + section.offset, section.size);
    for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1)) {
      if (at % 8 !== 0 || at + 328 > bytes.length) continue;
      const word = (field: number): number => Number(bytes.readBigUInt64LE(at + field));
      const [text, functionData] = [word(176), word(320)];
      const code = sections.get('.text');
      if (code && text >= code.address && text < code.address + code.size) return { text, functionData };
    }
  }
  return undefined;
}
