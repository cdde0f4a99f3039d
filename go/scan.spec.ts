import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { scanGoFile } from './scan';

/** go/parser's ImportsOnly with go/build's check of paths: for each file a line of JSON. */
const oracle = `package main

import (
	"bufio"
	"encoding/json"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"unicode"
)

func valid(path string) bool {
	for _, r := range path {
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune("!\\"#$%&'()*,:;<=>?[\\\\]^{|}\`\\uFFFD", r) {
			return false
		}
	}
	return path != ""
}

func main() {
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, lines.Text(), nil, parser.ImportsOnly)
		result := map[string]any{"error": err != nil}
		if err == nil {
			imports := []string{}
			for _, spec := range file.Imports {
				path, _ := strconv.Unquote(spec.Path.Value)
				if !valid(path) {
					result["error"] = true
				}
				imports = append(imports, path+":"+strconv.Itoa(fset.PositionFor(spec.Path.Pos(), false).Line))
			}
			result["name"] = file.Name.Name
			result["imports"] = imports
		}
		out.Encode(result)
	}
}
`;

let folder: string;
let program: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'slim-go-scan-'));
  writeFileSync(join(folder, 'main.go'), oracle);
  program = join(folder, process.platform === 'win32' ? 'oracle.exe' : 'oracle');
  execFileSync('go', ['build', '-o', program, join(folder, 'main.go')]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Seen {
  readonly error: boolean;
  readonly name?: string;
  readonly imports?: readonly string[];
}

function goParser(files: readonly string[]): Seen[] {
  const output = execFileSync(program, { input: files.join('\n'), maxBuffer: 1 << 28 }).toString();
  return output
    .trim()
    .split('\n')
    .map((line) => {
      const seen = JSON.parse(line) as Seen;
      return seen.error ? { error: true } : seen;
    });
}

function ours(source: Uint8Array): Seen {
  try {
    const { packageName, imports } = scanGoFile(source, 'x.go');
    return { error: false, name: packageName, imports: imports.map(({ path, line }) => `${path}:${line}`) };
  } catch {
    return { error: true };
  }
}

function expectEqual(files: readonly string[]): void {
  const expected = goParser(files);
  expect(expected).toHaveLength(files.length);
  const different = files.flatMap((file, index) => {
    const seen = ours(readFileSync(file));
    const want = expected[index]!;
    const same =
      seen.error === want.error &&
      seen.name === want.name &&
      JSON.stringify(seen.imports) === JSON.stringify(want.imports);
    return same ? [] : [{ file, seen, want }];
  });
  expect(different).toEqual([]);
}

/** SLIM_GO_SCAN names another folder to read, for instance a module cache. */
it('reads every Go file of the toolchain as go/parser does, or fails where it fails', () => {
  const root = process.env.SLIM_GO_SCAN ?? join(execFileSync('go', ['env', 'GOROOT']).toString().trim(), 'src');
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.go'))
    .map((entry) => join(entry.parentPath, entry.name));
  expect(files.length).toBeGreaterThan(3000);
  for (let start = 0; start < files.length; start += 10_000) expectEqual(files.slice(start, start + 10_000));
}, 1_800_000);

const tricky: Readonly<Record<string, string | Buffer>> = {
  'a parenthesis in a comment': 'package a\nimport (\n"fmt" // )\n/* ) */ "os"\n)\n',
  'semicolons on one line': 'package a; import "fmt"; import (m "math"; . "os";); var x = 1',
  'raw strings': 'package a\nimport `fmt`\nimport (`o\r\ns`)\n',
  'CRLF and a byte order mark': '\uFEFF// x\r\npackage a\r\n\r\nimport (\r\n\t"fmt"\r\n)\r\n',
  'a byte order mark further on': 'package a\nimport "fmt" // \uFEFF\n',
  'a newline in a comment that ends a statement': 'package a /* \n */ import "fmt" /*\n*/ import "os"\n',
  'no newline between package and import': 'package a import "fmt"\n',
  'letters of Unicode': 'package π\nimport ñ "fmt"\n',
  'escapes in a path': 'package a\nimport "f\\x6dt"\nimport "\\157s"\nimport "\\u0061"\n',
  'an unknown escape': 'package a\nimport "f\\q"\n',
  'an import below a declaration': 'package a\nimport "fmt"\nvar x int\nimport "os"\n',
  'a string that is not closed': 'package a\nimport "fmt\n',
  'a comment that is not closed': 'package a\nimport "fmt"\n/* x',
  'a block that is not closed': 'package a\nimport (\n"fmt"\n',
  'an empty path': 'package a\nimport ""\n',
  'a path with a space': 'package a\nimport "a b"\n',
  'a keyword as a name': 'package a\nimport func "fmt"\n',
  'two specs on a line': 'package a\nimport ("a" "b")\n',
  'nothing after the package clause': 'package a',
  'an empty file': '',
  'a NUL': 'package a // \0\n',
  'bytes that are no UTF-8': Buffer.from([...Buffer.from('package a // '), 0xff, 0x0a]),
  'a replacement character that stands there': 'package a // \uFFFD\n',
  'a number for a path': 'package a\nimport 5\n',
  'an import that ends the file': 'package a\nimport "C"',
};

it('reads what is unusual as go/parser does', () => {
  const names = Object.keys(tricky);
  const files = names.map((name) => {
    const file = join(folder, `${name.replaceAll(' ', '_')}.go`);
    writeFileSync(file, tricky[name]!);
    return file;
  });
  expectEqual(files);
});

it('reads mutated files as go/parser does, or both fail', () => {
  const seed = Number(process.env.SLIM_GO_SEED ?? Date.now() % 1e6);
  let state = seed;
  const random = (below: number) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * below);
  };
  const pieces = [
    '"',
    '`',
    '(',
    ')',
    ';',
    '\n',
    '/*',
    '*/',
    '//',
    'import',
    'package',
    ' ',
    '.',
    '_',
    '\\',
    'x',
    '\r\n',
  ];
  const base =
    'package a // doc\n\nimport "fmt"\nimport (\n\t. "os"\n\tx `math` // )\n\t/* c */ "io"\n)\n\nvar x = 1\n';
  const directory = join(folder, `mutated-${seed}`);
  mkdirSync(directory);
  const files = Array.from({ length: 2000 }, (_, index) => {
    let text = base;
    for (let change = random(3); change >= 0; change--) {
      const at = random(text.length);
      text = text.slice(0, at) + pieces[random(pieces.length)] + text.slice(at + random(3));
    }
    const file = join(directory, `${index}.go`);
    writeFileSync(file, text);
    return file;
  });
  expectEqual(files);
});

it('finds the embed patterns that the go command finds', () => {
  const module = join(folder, 'embedding');
  mkdirSync(join(module, 'static', '.hidden'), { recursive: true });
  writeFileSync(join(module, 'go.mod'), 'module example.com/e\n\ngo 1.20\n');
  for (const file of ['a b.txt', 'c.txt', 'd.md', 'static/x.html', 'static/.hidden/y'])
    writeFileSync(join(module, file), '');
  const source = [
    'package e',
    '',
    'import "embed"',
    '',
    '//go:embed static',
    '//go:embed all:static "a b.txt" `c.txt`',
    'var files embed.FS',
    '',
    'var text = "//go:embed nothing" + `',
    '//go:embed nothing',
    '`',
    '',
    '/*',
    '//go:embed nothing',
    '*/',
    '//go:embedded nothing',
    "var quote = '\"'",
    '\t//go:embed\t*.md c.tx?',
    'var more embed.FS',
    '',
  ].join('\n');
  writeFileSync(join(module, 'e.go'), source);
  const listed = JSON.parse(execFileSync('go', ['list', '-json=EmbedPatterns'], { cwd: module }).toString()) as {
    EmbedPatterns: string[];
  };
  const found = scanGoFile(Buffer.from(source), 'e.go').embeds.map(({ pattern }) => pattern);
  expect(new Set(found)).toEqual(new Set(listed.EmbedPatterns));
  expect(scanGoFile(Buffer.from(source.replace('"embed"', 'embed "io"')), 'e.go').embeds).toEqual([]);
});

it('names file and line of what it can not read', () => {
  expect(() => scanGoFile(Buffer.from('package a\n\nimport fmt\n'), 'apps/x/a.go')).toThrow(
    /^apps\/x\/a\.go:3: expected an import path/,
  );
});
