import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { scanGoFile } from '../go/scan';
import { HeaderCache } from './header-cache';

let root: string;
let file: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'slim-go-headers-'));
  file = join(root, 'cache', 'headers.json');
});
afterEach(() => rmSync(root, { recursive: true }));

const write = (name: string, text: string) => writeFileSync(join(root, name), text);
const imports = (cache: HeaderCache, name: string) => cache.scan(name).imports.map(({ path }) => path);
/** What is kept of files that were last changed before this moment. */
const later = <Result>(work: () => Result): Result => {
  const clock = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 10_000);
  try {
    return work();
  } finally {
    clock.mockRestore();
  }
};
function saved(names: readonly string[]): void {
  const cache = new HeaderCache(root, file);
  for (const name of names) cache.scan(name);
  later(() => cache.save());
}

it('gives what the scanner gives, with and without what was kept', () => {
  const long = `package p\n\n/*${'x'.repeat(10_000)}*/\n\nimport "after/the/head"\n`;
  const texts = {
    'short.go': '//go:build linux\n\npackage p\n\nimport (\n\t"fmt"\n\t_ "embed"\n)\n\n//go:embed a b\nvar x string\n',
    'long.go': `package p\n\nimport "fmt"\n\nfunc f() {}\n${'// x\n'.repeat(5000)}`,
    'late.go': long,
    'empty.go': 'package p',
  };
  for (const [name, text] of Object.entries(texts)) write(name, text);
  for (let round = 0; round < 2; round++) {
    const cache = new HeaderCache(root, file);
    for (const [name, text] of Object.entries(texts))
      expect(cache.scan(name)).toEqual(scanGoFile(Buffer.from(text), name));
    later(() => cache.save());
  }
  expect(Object.keys(JSON.parse(readFileSync(file, 'utf8')).entries)).toHaveLength(4);
});

it('reads a file again after any change, also one of the same size and modification time', () => {
  write('a.go', 'package p\n\nimport "aaa"\n');
  utimesSync(join(root, 'a.go'), 1000, 1000);
  saved(['a.go']);
  write('a.go', 'package p\n\nimport "bbb"\n');
  utimesSync(join(root, 'a.go'), 1000, 1000);
  expect(imports(new HeaderCache(root, file), 'a.go')).toEqual(['bbb']);
});

it('does not keep what changed a moment ago', () => {
  write('a.go', 'package p\n');
  const cache = new HeaderCache(root, file);
  cache.scan('a.go');
  cache.save();
  expect(JSON.parse(readFileSync(file, 'utf8')).entries).toEqual({});
});

it('forgets files that are gone, and writes nothing where nothing changed', () => {
  for (const name of ['a.go', 'b.go']) write(name, 'package p\n');
  saved(['a.go', 'b.go']);
  const before = readFileSync(file, 'utf8');
  rmSync(file);
  writeFileSync(file, before);
  const same = new HeaderCache(root, file);
  same.scan('a.go');
  same.scan('b.go');
  rmSync(file);
  later(() => same.save());
  expect(existsSync(file)).toBe(false);
  writeFileSync(file, before);
  saved(['a.go']);
  expect(Object.keys(JSON.parse(readFileSync(file, 'utf8')).entries)).toEqual(['a.go']);
});

it.each(['no JSON', '{"scanner":"another","entries":{"a.go":1}}', 'null'])(
  'takes what can not be read for nothing: %s',
  (text) => {
    write('a.go', 'package p\n\nimport "a"\n');
    saved(['a.go']);
    writeFileSync(file, text);
    expect(imports(new HeaderCache(root, file), 'a.go')).toEqual(['a']);
  },
);

it('fails with the scanner for a broken file, every time', () => {
  write('a.go', 'pakage p\n');
  for (let round = 0; round < 2; round++) {
    const cache = new HeaderCache(root, file);
    expect(() => cache.scan('a.go')).toThrow(/^a\.go:1:/);
    later(() => cache.save());
  }
});
