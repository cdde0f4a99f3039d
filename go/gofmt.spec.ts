import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { SlimGoError } from '../errors';
import { goFiles, goFormat } from './gofmt';

const root = mkdtempSync(join(tmpdir(), 'slim-go-gofmt-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const ugly = (name: string) => `package ${name}\n\nfunc  F( ) {}\n`;
const files = {
  'go.mod': 'module ex.com/m\n\ngo 1.25\n\nignore ./left/out\nignore anywhere\n',
  'm.go': ugly('m'),
  'm_test.go': ugly('m_test'),
  'm_windows.go': ugly('m'),
  'm_plan9.go': ugly('m'),
  'tagged.go': `//go:build never\n\n${ugly('m')}`,
  'cgo.go': 'package m\n\nimport "C"\n\nfunc  G( ) {}\n',
  'fine/fine.go': 'package fine\n',
  'broken/imports.go': `package broken\n\nimport _ "ex.com/none"\n\nfunc  F( ) {}\n`,
  '_hidden.go': ugly('m'),
  '.hidden.go': ugly('m'),
  '_x/x.go': ugly('x'),
  'testdata/t.go': ugly('t'),
  'sub/testdata/t.go': ugly('t'),
  'vendor/ex.com/v/v.go': ugly('v'),
  'nested/go.mod': 'module ex.com/nested\n',
  'nested/n.go': ugly('nested'),
  'left/out/o.go': ugly('out'),
  'a/anywhere/o.go': ugly('anywhere'),
} as const;
/** Packages without a file for this machine: `go fmt` does not see them. */
const excluded = { 'only/w_windows.go': ugly('only'), 'only/p_plan9.go': ugly('only') };

function module(name: string, content: Readonly<Record<string, string>>): string {
  const dir = join(root, name);
  for (const [file, text] of Object.entries(content)) {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    writeFileSync(join(dir, file), text);
  }
  return dir;
}

const texts = (dir: string, names: readonly string[]) => names.map((name) => readFileSync(join(dir, name), 'utf8'));

async function format(moduleDir: string, over: { check?: boolean; packages?: readonly string[] } = {}) {
  let output = '';
  const onOutput = (chunk: Buffer) => {
    output += chunk;
  };
  const one = { moduleDir, packages: ['./...'], formatter: 'gofmt' as const, check: false, ...over };
  const failure = await failureOf(goFormat(one, { onOutput }));
  return { failure, output };
}

it('leaves every file as `go fmt` does, and formats what is excluded here too', async () => {
  const ours = module('ours', { ...files, ...excluded });
  const theirs = join(root, 'theirs');
  cpSync(ours, theirs, { recursive: true });
  execFileSync('go', ['fmt', './...'], { cwd: theirs });
  expect((await format(ours)).failure).toBeUndefined();
  const names = Object.keys(files);
  expect(texts(ours, names)).toEqual(texts(theirs, names));
  expect(texts(theirs, ['m_plan9.go'])).toEqual(['package m\n\nfunc F() {}\n']);
  for (const text of texts(ours, Object.keys(excluded))) expect(text).toBe('package only\n\nfunc F() {}\n');
});

it('says which files it rewrote, and nothing of the others', async () => {
  const dir = module('says', { 'go.mod': 'module ex.com/m\n', 'a.go': ugly('a'), 'b.go': 'package a\n' });
  expect((await format(dir)).output).toBe('a.go\n1 of 2 files rewritten\n');
  expect((await format(dir)).output).toBe('0 of 2 files rewritten\n');
});

it('writes nothing with check, shows the diff and names the files', async () => {
  const dir = module('check', { 'go.mod': 'module ex.com/m\n', 'a.go': ugly('a'), 'b.go': 'package a\n' });
  const { failure, output } = await format(dir, { check: true });
  expect(failure).toMatchObject({ code: 'FORMAT_FAILED', message: '1 file is not formatted as gofmt does it: a.go.' });
  expect(output).toContain('-func  F( ) {}\n+func F() {}\n');
  expect(texts(dir, ['a.go'])).toEqual([ugly('a')]);
  await format(dir);
  expect((await format(dir, { check: true })).failure).toBeUndefined();
});

it('fails with the words of gofmt for what is no Go, and writes nothing', async () => {
  const dir = module('broken', { 'go.mod': 'module ex.com/m\n', 'a.go': ugly('a'), 'b.go': 'package a\n\nfunc {\n' });
  const { failure, output } = await format(dir);
  expect(failure?.code).toBe('FORMAT_FAILED');
  expect(output).toMatch(/b\.go:3:6: expected/);
  expect(texts(dir, ['a.go'])).toEqual([ugly('a')]);
});

it('takes the packages that are named and no others', () => {
  const dir = module('some', { 'go.mod': 'module ex.com/m\n', 'a/a.go': '', 'a/b/b.go': '', 'c.go': '' });
  expect(goFiles(dir, ['.'])).toEqual(['c.go']);
  expect(goFiles(dir, ['./a'])).toEqual(['a/a.go']);
  expect(goFiles(dir, ['./a/...', './a/b'])).toEqual(['a/a.go', 'a/b/b.go']);
  expect(() => goFiles(dir, ['./nope/...'])).toThrow('there is no Go file in');
});

function failureOf(work: Promise<void>): Promise<SlimGoError | undefined> {
  return work.then(
    () => undefined,
    (error: SlimGoError) => error,
  );
}
