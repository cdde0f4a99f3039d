import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanName, encodeHeader, endOfArchive, readMembers, sortMembers, type TarMember } from './tar';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'slim-go-tar-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function member(type: TarMember['type'], name: string, rest: Partial<TarMember> = {}): TarMember {
  return { type, name: Buffer.from(name), mode: 0o644, uid: 0, gid: 0, ...rest };
}

function read(file: string): TarMember[] {
  const fd = openSync(file, 'r');
  try {
    return readMembers(file, fd, 0, statSync(file).size);
  } finally {
    closeSync(fd);
  }
}

function list(file: string, ...options: string[]): string[] {
  const text = execFileSync('tar', ['--numeric-owner', '--quoting-style=literal', ...options, '-tvf', file], {
    env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
  }).toString();
  return text.trimEnd().split('\n');
}

const deep = `${'a'.repeat(60)}/${'b'.repeat(60)}/${'c'.repeat(60)}`;
const hopeless = `${'x'.repeat(101)}/${'y'.repeat(101)}`;

describe('encodeHeader', () => {
  it('writes what system tar lists: kinds, modes, owners, times, long and non-ASCII names', () => {
    const members = [
      member('directory', 'dir', { mode: 0o1777, uid: 65532, gid: 65531 }),
      member('directory', `${'d'.repeat(99)}`),
      member('directory', `${'d'.repeat(100)}`),
      member('file', 'setuid', { mode: 0o4755 }),
      member('file', 'größe/名前'),
      member('file', deep),
      member('file', hopeless),
      member('symlink', 'link', { mode: 0o777, linkName: Buffer.from('../target') }),
      member('symlink', 'far', { mode: 0o777, linkName: Buffer.from(deep) }),
      member('hardlink', 'hard', { linkName: Buffer.from('setuid') }),
      member('character-device', 'null', { device: { major: 1, minor: 3 } }),
      member('fifo', 'pipe'),
      member('file', 'owner', { uid: 4_000_000_000, gid: 2_097_152 }),
    ];
    const file = join(folder, 'written.tar');
    writeFileSync(file, Buffer.concat([...members.map((each) => encodeHeader(each, 86_400)), endOfArchive]));
    expect(list(file).map((line) => line.replace(/ +/g, ' '))).toEqual([
      'drwxrwxrwt 65532/65531 0 1970-01-02 00:00 dir/',
      `drw-r--r-- 0/0 0 1970-01-02 00:00 ${'d'.repeat(99)}/`,
      `drw-r--r-- 0/0 0 1970-01-02 00:00 ${'d'.repeat(100)}/`,
      '-rwsr-xr-x 0/0 0 1970-01-02 00:00 setuid',
      '-rw-r--r-- 0/0 0 1970-01-02 00:00 größe/名前',
      `-rw-r--r-- 0/0 0 1970-01-02 00:00 ${deep}`,
      `-rw-r--r-- 0/0 0 1970-01-02 00:00 ${hopeless}`,
      'lrwxrwxrwx 0/0 0 1970-01-02 00:00 link -> ../target',
      `lrwxrwxrwx 0/0 0 1970-01-02 00:00 far -> ${deep}`,
      'hrw-r--r-- 0/0 0 1970-01-02 00:00 hard link to setuid',
      'crw-r--r-- 0/0 1,3 1970-01-02 00:00 null',
      'prw-r--r-- 0/0 0 1970-01-02 00:00 pipe',
      '-rw-r--r-- 4000000000/2097152 0 1970-01-02 00:00 owner',
    ]);
    // What we read of it is what we wrote.
    expect(read(file)).toEqual(members);
  });

  it('spends one block where ustar has room, also for a path that splits, and pax blocks only where it has not', () => {
    expect(encodeHeader(member('file', deep), 0)).toHaveLength(512);
    expect(encodeHeader(member('file', hopeless), 0)).toHaveLength(3 * 512);
    const content = (sizeBytes: number) => ({ content: { path: 'none', offsetBytes: 0, sizeBytes } });
    expect(encodeHeader(member('file', 'big', content(8 * 1024 ** 3 - 1)), 0)).toHaveLength(512);
    expect(encodeHeader(member('file', 'big', content(8 * 1024 ** 3)), 0)).toHaveLength(3 * 512);
  });

  it('gives system tar a size of 8 GiB and more', () => {
    const file = join(folder, 'big.tar');
    const sizeBytes = 9 * 1024 ** 3;
    writeFileSync(file, encodeHeader(member('file', 'big', { content: { path: '', offsetBytes: 0, sizeBytes } }), 0));
    // The content is missing, so tar lists the header and then complains.
    const listed = execFileSync('sh', ['-c', 'tar -tvf "$0" 2>/dev/null || true', file]).toString();
    expect(listed).toContain(` ${sizeBytes} `);
  });

  it('counts a pax record that reaches 100 bytes through its own length', () => {
    const file = join(folder, 'records.tar');
    const members = Array.from({ length: 12 }, (_, index) =>
      member('file', `f${index}`, {
        records: new Map([['SCHILY.xattr.user.a', Buffer.alloc(70 + index, 'v')]]),
      }),
    );
    writeFileSync(file, Buffer.concat([...members.map((each) => encodeHeader(each, 0)), endOfArchive]));
    expect(list(file)).toHaveLength(12);
    expect(read(file)).toEqual(members);
  });
});

describe('readMembers', () => {
  it.each(['gnu', 'oldgnu', 'pax', 'ustar', 'v7'])('reads what system tar writes as --format=%s', (format) => {
    const source = join(folder, 'source');
    const names = format === 'v7' ? ['short', 'dir/inner'] : ['short', 'dir/inner', deep];
    if (format === 'gnu' || format === 'pax') names.push(hopeless, 'größe');
    for (const name of names) {
      mkdirSync(join(source, name, '..'), { recursive: true });
      writeFileSync(join(source, name), `content of ${name}`);
    }
    const file = join(folder, 'system.tar');
    execFileSync('tar', ['-C', source, `--format=${format}`, '--owner=12', '--group=34', '-cf', file, '.']);
    const members = read(file);
    const bytes = readFileSync(file);
    const files = members.filter(({ type }) => type === 'file');
    expect(files.map(({ name }) => name.toString()).sort()).toEqual([...names].sort());
    for (const { name, uid, gid, content } of files) {
      if (content === undefined || content instanceof Uint8Array) throw new Error('no range');
      const { offsetBytes, sizeBytes } = content;
      expect(bytes.subarray(offsetBytes, offsetBytes + sizeBytes).toString()).toBe(`content of ${name}`);
      expect([uid, gid]).toEqual([12, 34]);
    }
    expect(members[0]).toMatchObject({ type: 'directory', name: Buffer.from('.') });
  });

  it('keeps the bytes of names and attributes that are not UTF-8', () => {
    const file = join(folder, 'bytes.tar');
    const capability = Buffer.from('0100000280ff00000000000000000000c3280000', 'hex');
    const odd = [
      {
        ...member('file', ''),
        name: Buffer.from([0x66, 0xff, 0xfe]),
        records: new Map([['SCHILY.xattr.security.capability', capability]]),
      },
    ];
    writeFileSync(file, Buffer.concat([...odd.map((each) => encodeHeader(each, 0)), endOfArchive]));
    expect(read(file)).toEqual(odd);
  });

  it('refuses what is cut off, damaged or sparse, and says where', () => {
    writeFileSync(join(folder, 'a'), Buffer.alloc(5000, 1));
    const file = join(folder, 'good.tar');
    execFileSync('tar', ['-C', folder, '-cf', file, 'a']);
    const good = readFileSync(file);
    const damaged = join(folder, 'damaged.tar');
    writeFileSync(damaged, good.subarray(0, 3000));
    expect(() => read(damaged)).toThrow(`${damaged}: the tar is cut off at byte 0.`);
    const flipped = Buffer.from(good);
    flipped[3] = 0x41;
    writeFileSync(damaged, flipped);
    expect(() => read(damaged)).toThrow('there is no valid tar header at byte 0');
    execFileSync('truncate', ['-s', '4M', join(folder, 'hole')]);
    for (const format of ['gnu', 'pax']) {
      execFileSync('tar', ['-C', folder, '-S', `--format=${format}`, '-cf', damaged, 'hole']);
      expect(() => read(damaged)).toThrow("of a kind that layers don't have");
    }
  });
});

describe('sortMembers', () => {
  it('puts parents first, and gives a group of hardlinks the same form whichever was the file', () => {
    const content = Buffer.from('shared');
    const link = (name: string, linkName: string) => member('hardlink', name, { linkName: Buffer.from(linkName) });
    const one = sortMembers([
      member('file', 'z', { content }),
      link('b/x', 'z'),
      link('m', 'b/x'),
      member('directory', 'b'),
    ]);
    const other = sortMembers([
      member('directory', 'b'),
      member('file', 'b/x', { content }),
      link('z', 'b/x'),
      link('m', './b/x'),
    ]);
    expect(one).toEqual(other);
    expect(one.map(({ type, name, linkName }) => `${type} ${name} ${linkName ?? ''}`)).toEqual([
      'directory b ',
      'file b/x ',
      'hardlink m b/x',
      'hardlink z b/x',
    ]);
  });

  it('keeps the last of equal names, and hardlinks to what another layer holds', () => {
    const members = sortMembers([
      member('file', 'a', { mode: 0o600 }),
      member('file', 'a', { mode: 0o755 }),
      member('hardlink', 'b', { linkName: Buffer.from('elsewhere') }),
      member('hardlink', 'c', { linkName: Buffer.from('d') }),
      member('hardlink', 'd', { linkName: Buffer.from('c') }),
    ]);
    expect(members.map(({ name, type, mode }) => `${name} ${type} ${mode.toString(8)}`)).toEqual([
      'a file 755',
      'b hardlink 644',
      'c hardlink 644',
      'd hardlink 644',
    ]);
  });
});

it('cleans names the way layers hold them', () => {
  const clean = (text: string) => cleanName(Buffer.from(text)).toString();
  expect(['./', '/', './a/b/', '/a', '.a', '..a/b', './/a'].map(clean)).toEqual([
    '.',
    '.',
    'a/b',
    'a',
    '.a',
    '..a/b',
    'a',
  ]);
});
