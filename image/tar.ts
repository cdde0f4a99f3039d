/**
 * The tar format as layers and archives use it: ustar, with pax records only where ustar has no room.
 * Reading is by position in a file and keeps names and pax values as bytes: a file capability
 * (`SCHILY.xattr.security.capability`) is not text, and stream readers that decode it as UTF-8 destroy it.
 *
 * https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06 (ustar interchange format)
 * https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_02 (pax records)
 */
import { readSync } from 'node:fs';
import { SlimGoError } from '../errors';
import type { FileContent } from './image';

/** Tar's unit, in bytes: headers are one block, contents are padded to whole blocks. */
export const blockBytes = 512;

/** Two zero blocks: the end of an archive. */
export const endOfArchive: Uint8Array = new Uint8Array(2 * blockBytes);

const typeFlags = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
} as const;

/** One member of a tar. Times and user names are left out: whoever writes fixes them. */
export interface TarMember {
  readonly type: keyof typeof typeFlags;
  /** Bytes of the path, without `./` in front and without slashes at the ends; `.` is the root. */
  readonly name: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** What a symlink holds, or the name of the member that a hardlink shares its content with. */
  readonly linkName?: Buffer;
  readonly device?: { readonly major: number; readonly minor: number };
  /** Extended attributes and other pax records that are no field of ours, by key. */
  readonly records?: ReadonlyMap<string, Buffer>;
  /** Of a file; absent means empty. */
  readonly content?: FileContent;
}

/** How many bytes a file's content has. */
export function contentBytes(content: FileContent | undefined): number {
  if (content === undefined) return 0;
  return content instanceof Uint8Array ? content.byteLength : content.sizeBytes;
}

/** Rounds up to whole blocks. */
export function paddedBytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes / blockBytes) * blockBytes;
}

const maxOctal7 = 0o7777777;
const maxOctal11 = 0o77777777777;

/** The largest time that a ustar header holds (in the year 2242), in seconds since 1970. */
export const maxTarSeconds = maxOctal11;

/**
 * The header of `member`, with a pax header in front where ustar has no room: names that don't split into 155 + 100 bytes
 * or aren't ASCII, link names over 100 bytes, sizes from 8 GiB, owners from 2,097,152, and the member's own records.
 * @param mtimeSeconds seconds since 1970, at most `maxTarSeconds`
 */
export function encodeHeader(member: TarMember, mtimeSeconds: number): Buffer {
  const sizeBytes = member.type === 'file' ? contentBytes(member.content) : 0;
  const name = member.type === 'directory' ? Buffer.concat([member.name, Buffer.from('/')]) : member.name;
  const records = new Map(member.records);
  let split = splitName(name);
  if (split === undefined) {
    records.set('path', name);
    split = { prefix: Buffer.alloc(0), name: asciiOnly(name).subarray(0, 100) };
  }
  let linkName = member.linkName ?? Buffer.alloc(0);
  if (linkName.length > 100 || !isAscii(linkName)) {
    records.set('linkpath', linkName);
    linkName = asciiOnly(linkName).subarray(0, 100);
  }
  if (sizeBytes > maxOctal11) records.set('size', Buffer.from(`${sizeBytes}`));
  if (member.uid > maxOctal7) records.set('uid', Buffer.from(`${member.uid}`));
  if (member.gid > maxOctal7) records.set('gid', Buffer.from(`${member.gid}`));

  const header = encodeBlock({
    typeFlag: typeFlags[member.type],
    ...split,
    linkName,
    mode: member.mode,
    uid: member.uid > maxOctal7 ? 0 : member.uid,
    gid: member.gid > maxOctal7 ? 0 : member.gid,
    sizeBytes: sizeBytes > maxOctal11 ? 0 : sizeBytes,
    mtimeSeconds,
    major: member.device?.major ?? 0,
    minor: member.device?.minor ?? 0,
  });
  if (records.size === 0) return header;

  const pax = encodeRecords(records);
  const paxHeader = encodeBlock({
    typeFlag: 'x',
    prefix: Buffer.alloc(0),
    name: Buffer.from('PaxHeaders/member'),
    linkName: Buffer.alloc(0),
    mode: 0o644,
    uid: 0,
    gid: 0,
    sizeBytes: pax.length,
    mtimeSeconds,
    major: 0,
    minor: 0,
  });
  return Buffer.concat([paxHeader, pax, Buffer.alloc(paddedBytes(pax.length) - pax.length), header]);
}

interface HeaderFields {
  readonly typeFlag: string;
  readonly prefix: Buffer;
  readonly name: Buffer;
  readonly linkName: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly mtimeSeconds: number;
  readonly major: number;
  readonly minor: number;
}

function encodeBlock(fields: HeaderFields): Buffer {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, digits: number, offset: number): void => {
    block.write(value.toString(8).padStart(digits, '0'), offset, 'latin1');
  };
  fields.name.copy(block, 0);
  octal(fields.mode, 7, 100);
  octal(fields.uid, 7, 108);
  octal(fields.gid, 7, 116);
  octal(fields.sizeBytes, 11, 124);
  octal(fields.mtimeSeconds, 11, 136);
  block.write(fields.typeFlag, 156, 'latin1');
  fields.linkName.copy(block, 157);
  block.write('ustar\x0000', 257, 'latin1');
  octal(fields.major, 7, 329);
  octal(fields.minor, 7, 337);
  fields.prefix.copy(block, 345);
  octal(checksum(block), 6, 148);
  block[154] = 0;
  block[155] = 0x20;
  return block;
}

/** The sum of a header's bytes, the checksum's own eight taken as spaces. */
function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let index = 0; index < blockBytes; index++) {
    if (index < 148 || index >= 156) sum += block[index]!;
  }
  return sum;
}

function isAscii(bytes: Buffer): boolean {
  return bytes.every((byte) => byte < 0x80);
}

/** For the ustar field that a pax record overrides: something that every reader can print. */
function asciiOnly(bytes: Buffer): Buffer {
  return Buffer.from(bytes.map((byte) => (byte < 0x80 ? byte : 0x5f)));
}

/** Splits a path at a slash into ustar's `prefix` and `name`; undefined where it can't be. */
function splitName(name: Buffer): { prefix: Buffer; name: Buffer } | undefined {
  if (!isAscii(name)) return undefined;
  if (name.length <= 100) return { prefix: Buffer.alloc(0), name };
  // The last character may be a directory's slash, which has to stay in `name`.
  const slash = name.lastIndexOf('/', Math.min(155, name.length - 2));
  if (slash <= 0 || name.length - slash - 1 > 100) return undefined;
  return { prefix: name.subarray(0, slash), name: name.subarray(slash + 1) };
}

/** `<length> <key>=<value>\n`, sorted by key; the length counts itself. */
function encodeRecords(records: ReadonlyMap<string, Buffer>): Buffer {
  const encoded: Buffer[] = [];
  for (const [key, value] of [...records].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const body = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
    let length = body.length + 1;
    while (`${length}`.length + body.length !== length) length = `${length}`.length + body.length;
    encoded.push(Buffer.from(`${length}`), body);
  }
  return Buffer.concat(encoded);
}

/**
 * Members in the one order that the same content always has: by the bytes of their names, so a parent comes before what it
 * holds. Of members with one name the last stays. Members that share content through hardlinks become one file, the first
 * of them, and hardlinks to it, whichever of them was the file before.
 */
export function sortMembers(members: Iterable<TarMember>): TarMember[] {
  const byName = new Map<string, TarMember>();
  for (const member of members) byName.set(member.name.toString('latin1'), member);

  const linksOf = new Map<TarMember, TarMember[]>();
  for (const member of byName.values()) {
    const file = hardlinkedFile(member, byName);
    if (file !== undefined) linksOf.set(file, [...(linksOf.get(file) ?? []), member]);
  }
  for (const [file, links] of linksOf) {
    const [first, ...others] = [file, ...links].map((member) => member.name).sort(Buffer.compare);
    byName.set(first!.toString('latin1'), { ...file, name: first! });
    for (const name of others) {
      const { type: _type, content: _content, records: _records, ...shared } = file;
      byName.set(name.toString('latin1'), { ...shared, type: 'hardlink', name, linkName: first! });
    }
  }
  return [...byName.values()].sort((a, b) => Buffer.compare(a.name, b.name));
}

/** The member that a hardlink leads to, through other hardlinks too; undefined where this tar doesn't hold it. */
function hardlinkedFile(member: TarMember, byName: ReadonlyMap<string, TarMember>): TarMember | undefined {
  if (member.type !== 'hardlink') return undefined;
  let current: TarMember | undefined = member;
  for (let step = 0; current?.type === 'hardlink' && step <= byName.size; step++) {
    current = byName.get(cleanName(current.linkName!).toString('latin1'));
  }
  return current?.type === 'hardlink' ? undefined : current;
}

/** `./a/b/` and `/a/b` are `a/b`; the root is `.`. */
export function cleanName(name: Buffer): Buffer {
  const text = name.toString('latin1').replace(/^(?:\.?\/)+|\/+$/g, '');
  return text === '' ? Buffer.from('.') : Buffer.from(text, 'latin1');
}

/** Records that are fields of the header, or times and names that are not kept. */
const fieldRecords = /^(?:path|linkpath|size|uid|gid|uname|gname|mtime|atime|ctime|LIBARCHIVE\.creationtime|comment)$/;

/** Reads a range of a file, most of it from a window that headers of small members share. */
class WindowReader {
  readonly #fd: number;
  readonly #window = Buffer.allocUnsafe(64 * 1024);
  #start = 0;
  #length = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Up to `lengthBytes` from `position`; fewer at the end of the file. A view that the next call may overwrite. */
  read(position: number, lengthBytes: number): Buffer {
    if (lengthBytes > this.#window.length) return readFully(this.#fd, Buffer.alloc(lengthBytes), position);
    if (position < this.#start || position + lengthBytes > this.#start + this.#length) {
      this.#start = position;
      this.#length = readFully(this.#fd, this.#window, position).length;
    }
    const from = position - this.#start;
    return this.#window.subarray(from, Math.min(from + lengthBytes, this.#length));
  }
}

function readFully(fd: number, into: Buffer, position: number): Buffer {
  let length = 0;
  while (length < into.length) {
    const count = readSync(fd, into, length, into.length - length, position + length);
    if (count === 0) break;
    length += count;
  }
  return into.subarray(0, length);
}

/** An extended header is read into memory; Go's reader has the same limit. */
const maxExtendedHeaderBytes = 1024 * 1024;

/**
 * Reads the headers of a tar that lies in a file, in its order; contents are left where they are, as ranges of that file.
 * Knows ustar, pax and GNU's long names. Global pax headers are skipped; sparse files are refused.
 * @param file the file's path, for the members' contents and for messages; `fd` is open for reading
 * @throws ARCHIVE_INVALID for what is no tar, damaged or cut off
 */
export function readMembers(file: string, fd: number, offsetBytes: number, sizeBytes: number): TarMember[] {
  const reader = new WindowReader(fd);
  const end = offsetBytes + sizeBytes;
  const members: TarMember[] = [];
  const invalid = (position: number, what: string): SlimGoError =>
    new SlimGoError('ARCHIVE_INVALID', `${file}: ${what} at byte ${position}.`, {
      hint: 'The archive is damaged or incomplete: make it again.',
    });

  let records = new Map<string, Buffer>();
  let position = offsetBytes;
  while (position + blockBytes <= end) {
    const block = Buffer.from(reader.read(position, blockBytes));
    if (block.length < blockBytes) throw invalid(position, 'the tar is cut off');
    if (block.every((byte) => byte === 0)) return members;
    if (checksum(block) !== readNumber(block, 148, 8)) throw invalid(position, 'there is no valid tar header');

    const flag = String.fromCharCode(block[156]!);
    const isHeaderOnly = '123456'.includes(flag);
    const size = isHeaderOnly ? 0 : Number(records.get('size') ?? readNumber(block, 124, 12));
    const content = position + blockBytes;
    if (!Number.isSafeInteger(size) || size < 0 || content + size > end) throw invalid(position, 'the tar is cut off');
    const next = content + paddedBytes(size);

    if ('xgLK'.includes(flag)) {
      if (size > maxExtendedHeaderBytes) throw invalid(position, `an extended header of ${size} bytes is too large`);
      const body = Buffer.from(reader.read(content, size));
      if (body.length < size) throw invalid(position, 'the tar is cut off');
      if (flag === 'x') for (const [key, value] of decodeRecords(body)) records.set(key, value);
      if (flag === 'L') records.set('path', untilZero(body));
      if (flag === 'K') records.set('linkpath', untilZero(body));
      position = next;
      continue;
    }
    members.push(decodeMember(block, flag, records, { path: file, offsetBytes: content, sizeBytes: size }, invalid));
    records = new Map();
    position = next;
  }
  return members;
}

const typesByFlag = new Map<string, TarMember['type']>([
  ...Object.entries(typeFlags).map(([type, flag]) => [flag, type as TarMember['type']] as const),
  ['\0', 'file'],
  ['7', 'file'],
]);

function decodeMember(
  block: Buffer,
  flag: string,
  records: ReadonlyMap<string, Buffer>,
  content: Exclude<FileContent, Uint8Array>,
  invalid: (position: number, what: string) => SlimGoError,
): TarMember {
  const position = content.offsetBytes - blockBytes;
  const isUstar = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isUstar ? untilZero(block.subarray(345, 500)) : Buffer.alloc(0);
  const shortName = untilZero(block.subarray(0, 100));
  const name =
    records.get('path') ?? (prefix.length === 0 ? shortName : Buffer.concat([prefix, Buffer.from('/'), shortName]));
  const type = typesByFlag.get(flag);
  const kept = new Map([...records].filter(([key]) => !fieldRecords.test(key)));
  if (type === undefined || [...kept.keys()].some((key) => key.startsWith('GNU.sparse.'))) {
    throw invalid(position, `"${name}" is a member of a kind that layers don't have (type "${flag}")`);
  }
  const isDirectory = type === 'directory' || (type === 'file' && name.at(-1) === 0x2f);
  const linkName = records.get('linkpath') ?? untilZero(block.subarray(157, 257));
  return {
    type: isDirectory ? 'directory' : type,
    name: cleanName(name),
    mode: readNumber(block, 100, 8) & 0o7777,
    uid: Number(records.get('uid') ?? readNumber(block, 108, 8)),
    gid: Number(records.get('gid') ?? readNumber(block, 116, 8)),
    ...(type === 'symlink' ? { linkName } : type === 'hardlink' ? { linkName: cleanName(linkName) } : {}),
    ...(type === 'character-device' || type === 'block-device'
      ? { device: { major: readNumber(block, 329, 8), minor: readNumber(block, 337, 8) } }
      : {}),
    ...(kept.size > 0 ? { records: kept } : {}),
    ...(type === 'file' && !isDirectory && content.sizeBytes > 0 ? { content } : {}),
  };
}

function untilZero(bytes: Buffer): Buffer {
  const zero = bytes.indexOf(0);
  return Buffer.from(zero === -1 ? bytes : bytes.subarray(0, zero));
}

/** An octal field, or GNU's base-256 for what octal digits can't hold. */
function readNumber(block: Buffer, offset: number, length: number): number {
  if (block[offset]! & 0x80) {
    let value = block[offset]! & 0x7f;
    for (let index = 1; index < length; index++) value = value * 256 + block[offset + index]!;
    return value;
  }
  const digits = block.toString('latin1', offset, offset + length).replace(/[\0 ]+$|^ +/g, '');
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

function decodeRecords(body: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let start = 0; start < body.length; ) {
    const space = body.indexOf(' ', start);
    const length = Number(body.toString('latin1', start, space));
    const equals = body.indexOf('=', space);
    if (space === -1 || equals === -1 || !(length > equals - start)) break;
    records.set(body.toString('utf8', space + 1, equals), Buffer.from(body.subarray(equals + 1, start + length - 1)));
    start += length;
  }
  return records;
}
