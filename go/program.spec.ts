import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { hostPlatform } from '../platform';
import { needsOf } from './needs';
import { Program, packageOf } from './program';

const root = mkdtempSync(join(tmpdir(), 'slim-go-program-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const files: Record<string, string> = {
  'go.mod': 'module example.com/acme\n\ngo 1.21\n',
  'lib.v2/lib.go': `package lib

import (
	"fmt"
	"os"
	"runtime"
)

// Where is small enough to be put into its callers.
func Where() { deeper() }

func deeper() { Tell() }

//go:noinline
func Tell() {
	callers := make([]uintptr, 10)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	for {
		frame, more := frames.Next()
		fmt.Println(frame.Function)
		if !more {
			return
		}
	}
}

func Temp() (*os.File, error) { return os.CreateTemp("", "lib") }
`,
  'main.go': `package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	lib "example.com/acme/lib.v2"
)

func main() {
	lib.Where()
	direct()
	_, err := time.LoadLocation("America/Argentina/Buenos_Aires")
	name := "one"
	if len(os.Args) > 5 {
		name = "another"
	}
	fmt.Println(err, exec.Command(name).Run(), exec.Command("helper", os.Args...).Run())
	fmt.Println(exec.CommandContext(context.Background(), "bin/helper").Run())
	fmt.Println(lib.Temp())
	fmt.Println(os.MkdirTemp("/data", ""))
}

func direct() { again() }

func again() { lib.Tell() }
`,
};

function build(output: string, architecture: string, ...flags: string[]): string {
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOOS: 'linux', GOARCH: architecture };
  execFileSync('go', ['build', '-trimpath', ...flags, '-o', output, '.'], { cwd: root, env, stdio: 'pipe' });
  return join(root, output);
}

const read = <Result>(path: string, work: (program: Program) => Result) =>
  Program.use({ path, offsetBytes: 0, sizeBytes: 0 }, work);

beforeAll(() => {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
});

describe.each(['amd64', 'arm64'])('Program, %s', (architecture) => {
  const paths = { stripped: '', whole: '' };
  beforeAll(() => {
    paths.stripped = build(`stripped-${architecture}`, architecture, '-ldflags=-s -w');
    paths.whole = build(`whole-${architecture}`, architecture);
  });
  const tool = (...args: string[]) =>
    execFileSync('go', ['tool', ...args, paths.whole], { encoding: 'utf8', maxBuffer: 1024 ** 3 });

  it('finds the functions of a stripped program that `go tool nm` finds in its unstripped twin', () => {
    const symbols = new Set(
      tool('nm')
        .split('\n')
        .flatMap(
          (line) => /^\s*([0-9a-f]+) [Tt] (.*?)(?:\.abi0|\.abiinternal)?$/.exec(line)?.slice(1, 3).join(' ') ?? [],
        ),
    );
    const found = read(paths.stripped, ({ functions }) =>
      functions.map(({ name, entry }) => `${entry.toString(16)} ${Buffer.from(name, 'latin1').toString()}`),
    )!;
    expect(found.length).toBeGreaterThan(1500);
    // The table of functions abbreviates type arguments, and numbers the types that a function declares.
    expect(found.filter((one) => !symbols.has(one) && !/\[\.\.\.\]| type:.*·/.test(one))).toEqual([]);
  });

  it('reads the calls that `go tool objdump` reads', () => {
    const expected = new Set<string>();
    let current = '';
    for (const line of tool('objdump').split('\n')) {
      current = /^TEXT (.*)\(SB\)/.exec(line)?.[1] ?? current;
      const [, at, kind, target] =
        /^\s+\S+\s+0x([0-9a-f]+)\s+[0-9a-f]+\s+(CALL|JMP) ([^\s(]*\S*)\(SB\)\s*$/.exec(line) ?? [];
      // A jump to the beginning of a function by itself is a loop.
      if (at !== undefined && !(kind === 'JMP' && target === current)) {
        expected.add(`${at} ${target!.replace(/\.abi(?:0|internal)$/, '')}`);
      }
    }
    const found = read(paths.stripped, (program) => {
      const names = new Map(program.functions.map(({ name, entry }) => [entry, name]));
      return program.functions
        .flatMap((one) => program.code(one).calls)
        .flatMap(({ at, target }) => (names.has(target) ? [`${at.toString(16)} ${names.get(target)}`] : []));
    })!;
    const plain = (calls: Iterable<string>) => [...calls].filter((call) => !call.includes('[')).sort();
    expect(found.length).toBeGreaterThan(10_000);
    expect(plain(found)).toEqual(plain(expected).filter((call) => !call.includes('+')));
  });

  it('knows constants where they are certain, and the package that a call was inlined from', () => {
    expect(read(paths.stripped, needsOf)).toEqual(
      expect.arrayContaining([
        {
          kind: 'time-zones',
          package: 'example.com/acme',
          call: 'time.LoadLocation',
          argument: 'America/Argentina/Buenos_Aires',
        },
        { kind: 'programs', package: 'example.com/acme', call: 'os/exec.Command', argument: 'helper' },
        { kind: 'programs', package: 'example.com/acme', call: 'os/exec.CommandContext', argument: 'bin/helper' },
        { kind: 'temp-files', package: 'example.com/acme/lib.v2', call: 'os.CreateTemp', argument: undefined },
      ]),
    );
    // Neither the program with two names nor the folder that is named.
    const kinds = read(paths.stripped, needsOf)!.map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === 'programs' || kind === 'temp-files')).toHaveLength(3);
  });

  it('reads a position independent program as well, and nothing from what is cut off', () => {
    const independent = build(`pie-${architecture}`, architecture, '-buildmode=pie');
    expect(new Set(read(independent, needsOf))).toEqual(new Set(read(paths.stripped, needsOf)));
    const part = join(root, `part-${architecture}`);
    writeFileSync(part, readFileSync(paths.stripped).subarray(0, 700_000));
    expect(read(part, needsOf)).toBeUndefined();
  });
});

it('gives the frames that a stack trace of the running program gives', () => {
  const { architecture, os } = hostPlatform();
  if (os !== 'linux') return;
  const path = build('running', architecture);
  const lines = execFileSync(path, { encoding: 'utf8' })
    .split('\n')
    .filter((line) => /^(main|example)/.test(line));
  const found = read(path, (program) => {
    const main = program.functions.find(({ name }) => name === 'main.main')!;
    const tell = program.functions.find(({ name }) => name.endsWith('.Tell'))!;
    return program
      .code(main)
      .calls.filter(({ target }) => target === tell.entry)
      .flatMap((call) => program.frames(main, call));
  });
  expect(found).toEqual(lines);
  expect(found).toContain('main.again');
});

it.each([
  ['main.main', 'main'],
  ['example.com/acme/lib%2ev2.Temp', 'example.com/acme/lib.v2'],
  ['gopkg.in/yaml%2ev3.(*Decoder).Decode', 'gopkg.in/yaml.v3'],
  ['slices.SortFunc[go.shape.[]example.com/x.T,a/b.c]', 'slices'],
  ['net/http.(*Client).Do.func1', 'net/http'],
])('finds the package of %s', (name, path) => {
  expect(packageOf(name)).toBe(path);
});
