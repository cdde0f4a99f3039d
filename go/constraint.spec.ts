import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parsePlatform } from '../platform';
import { linesMatch, nameMatches } from './constraint';
import { scanGoFile } from './scan';

const names = [
  'a.go',
  'linux.go',
  'a_linux.go',
  'a_windows.go',
  'a_windows_amd64.go',
  'a_linux_arm64.go',
  'a_amd64.go',
  'a_arm.go',
  'a_windows_test.go',
  'a_unix.go',
  'linux_amd64.go',
  'windows_linux.go',
  'a_amd64_linux.go',
  'a.b_windows.go',
  'a_windows.pb.go',
  'a_js.go',
  'a_wasm.go',
  'a_js_wasm.go',
  'a_darwin.go',
  'a_android.go',
  'a_illumos.go',
  '_a.go',
]; // prettier-ignore
const lines = [
  '//go:build linux',
  '//go:build !linux',
  '//go:build unix',
  '//go:build (linux || darwin) && !arm64',
  '//go:build cgo',
  '//go:build !cgo',
  '//go:build go1.18',
  '//go:build go1.999',
  '//go:build !go1.999',
  '//go:build extra',
  '//go:build ignore',
  '//go:build !extra && (amd64 || !(windows))',
  '//go:build gc',
  '//go:build gccgo',
  '//go:build boringcrypto',
  '//go:build\tlinux',
  '//go:buildlinux',
  '//go:build linux||windows&&arm64',
  '// +build linux',
  '// +build !linux',
  '// +build windows darwin',
  '// +build linux,amd64 darwin',
  '//+build windows',
  '// +build linux\n// +build arm64',
  '// +build !!linux',
  '//go:build linux\n// +build windows',
  '//go:build amd64.v3',
  '//go:build arm.6',
]; // prettier-ignore

const platforms = [
  'linux/amd64',
  'linux/amd64/v3',
  'linux/arm64',
  'linux/arm/v6',
  'windows/amd64',
  'darwin/arm64',
  'js/wasm',
  'android/arm64',
  'illumos/amd64',
  'ios/arm64',
];

describe('constraints, beside the go command', () => {
  let folder: string;
  const sources = new Map<string, string>();
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'slim-go-constraint-'));
    writeFileSync(join(folder, 'go.mod'), 'module example.com/c\n\ngo 1.20\n');
    for (const name of names) sources.set(name, 'package c\n');
    lines.forEach((line, index) => {
      sources.set(`line${index}.go`, `// licence\n\n${line}\n\npackage c\n`);
      sources.set(`tight${index}.go`, `${line}\npackage c\n`);
    });
    sources.set('always.go', 'package c\n');
    sources.set('below.go', 'package c\n\n//go:build windows\n');
    sources.set('inside.go', '/*\n//go:build windows\n*/\n\npackage c\n');
    for (const [name, source] of sources) writeFileSync(join(folder, name), source);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  for (const text of platforms) {
    for (const cgo of [true, false]) {
      it(`takes the files that go list takes for ${text} with CGO_ENABLED=${cgo ? 1 : 0}`, () => {
        const platform = parsePlatform(text);
        const listed = JSON.parse(
          execFileSync('go', ['list', '-tags=extra', '-json=GoFiles,TestGoFiles', '.'], {
            cwd: folder,
            env: {
              ...process.env,
              GOOS: platform.os,
              GOARCH: platform.architecture,
              CGO_ENABLED: cgo ? '1' : '0',
              ...(platform.architecture === 'amd64' ? { GOAMD64: platform.variant ?? 'v1' } : {}),
              ...(platform.architecture === 'arm' ? { GOARM: platform.variant!.slice(1) } : {}),
            },
          }).toString(),
        ) as { GoFiles: string[]; TestGoFiles?: string[] };
        const context = { platform, cgo, tags: ['extra'], goMinor: 99 };
        const ours = [...sources]
          .filter(([name]) => !name.startsWith('_') && nameMatches(name, context))
          .filter(([name, source]) => linesMatch(scanGoFile(Buffer.from(source), name).constraints, context))
          .map(([name]) => name);
        expect(ours.sort()).toEqual([...listed.GoFiles, ...(listed.TestGoFiles ?? [])].sort());
      });
    }
  }
});

it.each([
  '//go:build',
  '//go:build linux &&',
  '//go:build (linux',
  '//go:build linux darwin',
  '//go:build a & b',
  '//go:build !!a',
])('refuses %s as the go command does', (line) => {
  const context = { platform: parsePlatform('linux/amd64'), cgo: false, tags: [], goMinor: 20 };
  expect(() => linesMatch([line], context)).toThrow(line);
});
