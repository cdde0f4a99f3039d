import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { scanGoFile } from '../go/scan';
import { SourceCache } from './source-cache';

let root: string;
let file: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'slim-go-sources-'));
  file = join(root, 'cache', 'sources');
});
afterEach(() => rmSync(root, { recursive: true }));

const open = () => new SourceCache(root, file, 'v1');
const write = (name: string, text: string) => writeFileSync(join(root, name), text);
const imports = (cache: SourceCache, name: string) => cache.header(name).imports.map(({ path }) => path);
const lines = () => readFileSync(file, 'utf8').split('\n').slice(1);
/** What is kept of files that were last changed before this moment. */
const later = <Result>(work: () => Result): Result => {
  const clock = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 10_000);
  try {
    return work();
  } finally {
    clock.mockRestore();
  }
};
function saved(names: readonly string[], id = names.join()): void {
  const cache = open();
  for (const name of names) name.endsWith('.go') ? cache.header(name) : cache.text(name);
  later(() => cache.save(id));
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
  for (const id of ['1', '2']) {
    const cache = open();
    for (const [name, text] of Object.entries(texts))
      expect(cache.header(name)).toEqual(scanGoFile(Buffer.from(text), name));
    later(() => cache.save(id));
  }
  expect(lines()).toHaveLength(4);
});

it.each(['', 'one line', 'tab\tline\r\nquote" \\ \u2028 ü\n', 'null'])('gives a text back as it is: %j', (text) => {
  write('a\tname\n"', text);
  saved(['a\tname\n"', 'none']);
  const kept = open();
  expect(kept.isUnchanged()).toBe(true);
  expect(kept.text('a\tname\n"')).toBe(text);
  expect(kept.text('none')).toBeUndefined();
});

it('reads a file again after any change, also one of the same size and modification time', () => {
  write('a.go', 'package p\n\nimport "aaa"\n');
  utimesSync(join(root, 'a.go'), 1000, 1000);
  saved(['a.go']);
  write('a.go', 'package p\n\nimport "bbb"\n');
  utimesSync(join(root, 'a.go'), 1000, 1000);
  expect(imports(open(), 'a.go')).toEqual(['bbb']);
});

it('does not trust the stamp of what changed a moment ago', () => {
  write('a.go', 'package p\n');
  const cache = open();
  cache.header('a.go');
  cache.save('1');
  expect(lines()[0]).toMatch(/^-2\t/);
});

it.each([
  ['a new comment behind the imports', true, () => write('a.go', 'package p\n\nimport "a"\n\n// x\n')],
  ['another import', false, () => write('a.go', 'package p\n\nimport "b"\n')],
  ['a file that is broken now', false, () => write('a.go', 'pakage p\n')],
  ['a file that is gone', false, () => rmSync(join(root, 'go.mod'))],
  ['another text', false, () => write('go.mod', 'module b\n')],
  ['the same text, written again', true, () => write('go.mod', 'module a\n')],
  ['a file that was not there', false, () => write('Dockerfile', '')],
])('tells whether all would be read the same: %s', (_, same, change) => {
  write('a.go', 'package p\n\nimport "a"\n');
  write('go.mod', 'module a\n');
  saved(['a.go', 'go.mod', 'Dockerfile']);
  expect(open().isUnchanged()).toBe(true);
  change();
  expect(open().isUnchanged()).toBe(same);
});

it('forgets what was not asked for, and writes nothing that is known', () => {
  for (const name of ['a.go', 'b.go']) write(name, 'package p\n');
  saved(['a.go', 'b.go'], '1');
  const before = readFileSync(file, 'utf8');
  rmSync(file);
  writeFileSync(file, before);
  const same = open();
  expect(same.isUnchanged()).toBe(true);
  rmSync(file);
  later(() => same.save('1'));
  expect(existsSync(file)).toBe(false);
  writeFileSync(file, before);
  saved(['a.go'], '2');
  expect(lines()).toHaveLength(1);
});

it.each(['no JSON', '["v2","1"]\n1\t1\t1\t"a.go"\tnull', 'null', ''])(
  'takes what can not be read for nothing: %j',
  (text) => {
    write('a.go', 'package p\n\nimport "a"\n');
    saved(['a.go']);
    writeFileSync(file, text);
    expect(open().isUnchanged()).toBe(false);
    expect(imports(open(), 'a.go')).toEqual(['a']);
  },
);

it('fails with the scanner for a broken file, every time', () => {
  write('a.go', 'pakage p\n');
  for (const id of ['1', '2']) {
    const cache = open();
    expect(() => cache.header('a.go')).toThrow(/^a\.go:1:/);
    later(() => cache.save(id));
  }
});
