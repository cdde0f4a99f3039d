import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readBuildInfo } from './build-info';

const folder = mkdtempSync(join(tmpdir(), 'slim-go-build-info-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What the go command says of a program, in its own lines. */
function linesOf(info: NonNullable<ReturnType<typeof readBuildInfo>>): string[] {
  const module = (kind: string, { path, version, sum }: { path: string; version: string; sum?: string }) =>
    [kind, path, version, sum ?? ''].join('\t').trimEnd();
  return [
    `path\t${info.path}`,
    ...(info.main ? [module('mod', info.main)] : []),
    ...info.modules.map((one) => module('dep', one)),
    ...Object.entries(info.settings).map(([key, value]) => `build\t${key}=${value}`),
  ];
}

describe('readBuildInfo', () => {
  it.each([
    ['linux', 'amd64', ['-trimpath', '-ldflags=-s -w']],
    ['linux', 's390x', ['-tags=a,b']],
    ['windows', 'amd64', []],
    ['darwin', 'arm64', ['-trimpath']],
  ])('says what `go version -m` says of a program for %s/%s', (os, architecture, flags) => {
    const source = join(folder, 'main.go');
    writeFileSync(join(folder, 'go.mod'), 'module example.com/größe\n\ngo 1.21\n'.replace('größe', 'size'));
    writeFileSync(source, 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("\xff Go buildinf:") }\n');
    const file = join(folder, `${os}-${architecture}`);
    const env = { ...process.env, GOOS: os, GOARCH: architecture, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off' };
    execFileSync('go', ['build', ...flags, '-o', file, '.'], { cwd: folder, env });
    const said = execFileSync('go', ['version', '-m', file], { encoding: 'utf8' });
    const info = readBuildInfo(readFileSync(file))!;
    expect(said.split('\n')[0]).toBe(`${file}: ${info.goVersion}`);
    const lines = said
      .split('\n')
      .slice(1)
      .map((line) => line.slice(1).trimEnd())
      .filter(Boolean);
    expect(linesOf(info)).toEqual(lines.map((line) => line.replace(/="(.*)"$/, '=$1')));
  });

  it('says what `go version -m` says of a program with third-party modules: this Go', () => {
    const go = join(execFileSync('go', ['env', 'GOROOT'], { encoding: 'utf8' }).trim(), 'bin', 'go');
    const said = execFileSync('go', ['version', '-m', go], { encoding: 'utf8' });
    const modules = [...said.matchAll(/^\tdep\t(\S+)\t(\S+)/gm)].map(([, path, version]) => `${path} ${version}`);
    const info = readBuildInfo(readFileSync(go))!;
    expect(info.path).toBe('cmd/go');
    expect(info.modules.map(({ path, version }) => `${path} ${version}`)).toEqual(modules);
  });

  it('finds nothing in what is no Go program', () => {
    expect(readBuildInfo(readFileSync('/bin/sh'))).toBeUndefined();
    expect(readBuildInfo(new Uint8Array())).toBeUndefined();
    expect(readBuildInfo(Buffer.from('\xff Go buildinf:\x08\x02'.padEnd(34, '\xff'), 'latin1'))).toBeUndefined();
  });
});
