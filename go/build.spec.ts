import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { formatPlatform, hostPlatform, parsePlatform } from '../platform';
import { isStatic, readBinary, verifyPlatform } from './binary';
import {
  binaryName,
  buildFlags,
  enclosingModule,
  goBuild,
  importPath,
  mainPackages,
  type ResolvedBuild,
} from './build';

const root = mkdtempSync(join(tmpdir(), 'slim-go-build-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const hello = 'package main\n\nfunc main() { println("hello") }\n';
const net = 'package main\n\nimport "net"\n\nfunc main() { println(net.FlagUp.String()) }\n';
let count = 0;

function module(files: Record<string, string>): string {
  const dir = join(root, `m${count++}`);
  for (const [name, text] of Object.entries({ 'go.mod': 'module example.com/shop\n\ngo 1.21\n', ...files })) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  }
  return dir;
}

function resolved(dir: string, over: Partial<ResolvedBuild> = {}): ResolvedBuild {
  const platform = over.platform ?? hostPlatform();
  return {
    main: dir,
    moduleDir: dir,
    outputFile: join(dir, 'dist', ...formatPlatform(platform).split('/'), 'shop'),
    platform,
    ldflags: '',
    tags: [],
    trimpath: true,
    strip: true,
    race: false,
    cgo: false,
    vcs: false,
    env: {},
    args: [],
    mustBeStatic: false,
    ...over,
  };
}

async function build(dir: string, over: Partial<ResolvedBuild> = {}) {
  const one = resolved(dir, over);
  let output = '';
  const [outcome] = await goBuild([one], {
    onOutput: (_, chunk) => {
      output += chunk;
    },
  });
  return { ...outcome!, file: one.outputFile, output };
}

describe('goBuild', () => {
  it('builds a static, executable binary that runs, whatever the umask', async () => {
    const umask = process.umask(0o077);
    const { error, file, sizeBytes } = await build(module({ 'main.go': hello })).finally(() => process.umask(umask));
    expect(error).toBeUndefined();
    expect(spawnSync(file).stderr.toString()).toBe('hello\n');
    expect(statSync(file)).toMatchObject({ size: sizeBytes });
    if (process.platform !== 'win32') expect(statSync(file).mode & 0o777).toBe(0o755);
    expect(readdirSync(dirname(file))).toEqual(['shop']);
  });

  it('builds the bytes that go build makes with the same flags, the same in another folder', async () => {
    const [a, b] = [module({ 'main.go': net }), module({ 'main.go': net })];
    const bytes = readFileSync((await build(a)).file);
    expect(readFileSync((await build(b)).file).equals(bytes)).toBe(true);
    const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '' };
    spawnSync('go', ['build', '-trimpath', '-buildvcs=false', '-ldflags=-s -w', '-o', 'own', '.'], { cwd: b, env });
    expect(readFileSync(join(b, 'own')).equals(bytes)).toBe(true);
  });

  it.each(['linux/amd64', 'linux/arm/v6', 'linux/arm64', 'linux/s390x', 'linux/386', 'darwin/arm64', 'windows/amd64'])(
    'cross-compiles to %s, as `go version -m` and the header say',
    async (name) => {
      const platform = parsePlatform(name);
      const { error, file } = await build(module({ 'main.go': hello }), { platform });
      expect(error).toBeUndefined();
      expect((await readBinary(file)).architecture).toBe(platform.architecture);
      const info = spawnSync('go', ['version', '-m', file]).stdout.toString();
      expect(info).toContain(`GOARCH=${platform.architecture}\n`);
      expect(info).toContain(`GOOS=${platform.os}\n`);
      if (platform.variant) expect(info).toContain(`GOARM=${platform.variant.slice(1)}\n`);
    },
  );

  it('leaves the former binary alone when a build fails, goes on with the next, and shows the message of go', async () => {
    const dir = module({ 'main.go': hello, 'cmd/bad/main.go': 'package main\n\nfunc main() { undefined() }\n' });
    const bad = resolved(dir, { main: join(dir, 'cmd', 'bad'), outputFile: join(dir, 'dist', 'bad') });
    mkdirSync(join(dir, 'dist'));
    writeFileSync(bad.outputFile, 'former');
    let output = '';
    const outcomes = await goBuild([bad, resolved(dir)], {
      onOutput: (_, chunk) => {
        output += chunk;
      },
    });
    expect(outcomes.map(({ error }) => error?.code)).toEqual(['GO_BUILD_FAILED', undefined]);
    expect(outcomes[0]!.error!.message).toContain('go build ./cmd/bad for');
    expect(output).toContain('main.go:3:15: undefined: undefined');
    expect(readFileSync(bad.outputFile, 'utf8')).toBe('former');
    expect(readdirSync(join(dir, 'dist')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it.each([
    ['400', undefined, {}],
    ['50', '50', {}],
    ['off', '50', { GOGC: 'off' }],
  ])("gives the linker GOGC=%s where the process's is %s and the option env is %p", async (expected, own, env) => {
    const dir = module({ 'main.go': hello });
    const script = join(dir, 'record');
    writeFileSync(script, `#!/bin/sh\nprintf %s "$GOGC" > ${join(dir, 'gogc')}\nexec "$@"\n`);
    chmodSync(script, 0o755);
    const { error } = await build(dir, {
      args: [`-toolexec=${script}`],
      env,
      processEnv: { ...process.env, GOGC: own },
    });
    expect(error).toBeUndefined();
    expect(readFileSync(join(dir, 'gogc'), 'utf8')).toBe(expected);
  });

  it('says that a library is no program', async () => {
    const { error, file } = await build(module({ 'lib.go': 'package lib\n' }));
    expect(error).toMatchObject({
      code: 'GO_BUILD_FAILED',
      message: expect.stringContaining('is package lib, not package main'),
    });
    expect(() => statSync(file)).toThrow();
  });

  it('names the line of go.mod that asks for a newer Go, and both versions', async () => {
    const dir = module({ 'main.go': hello, 'go.mod': 'module example.com/shop\n\n// why\ngo 1.999 // new\n' });
    const { error } = await build(dir, { env: { GOTOOLCHAIN: 'local' } });
    const have = spawnSync('go', ['env', 'GOVERSION']).stdout.toString().trim().slice(2);
    expect(error?.code).toBe('GO_TOO_OLD');
    expect(error?.message).toContain(`${join(dir, 'go.mod')}:4 asks for Go 1.999; this is Go ${have}`);
    expect(error?.hint).toContain('GOTOOLCHAIN=auto');
  });

  it('names the dependency that asks for a newer Go', async () => {
    const dir = module({
      'main.go': 'package main\n\nimport _ "example.com/dep"\n\nfunc main() {}\n',
      'go.mod':
        'module example.com/shop\n\ngo 1.21\n\nrequire example.com/dep v0.0.0\n\nreplace example.com/dep => ./dep\n',
      'dep/go.mod': 'module example.com/dep\n\ngo 1.998\n',
      'dep/dep.go': 'package dep\n',
    });
    const { error } = await build(dir, { env: { GOTOOLCHAIN: 'local' } });
    expect(error?.code).toBe('GO_TOO_OLD');
    expect(error?.message).toContain('1.998');
  });

  it('refuses a platform that Go does not know', async () => {
    const { error } = await build(module({ 'main.go': hello }), { platform: parsePlatform('linux/pdp11') });
    expect(error).toMatchObject({ code: 'PLATFORM_INVALID', message: "Go can't build for linux/pdp11." });
  });

  it('refuses a variant that Go does not know, and an env that contradicts the platform', async () => {
    const dir = module({ 'main.go': hello });
    expect((await build(dir, { platform: parsePlatform('linux/arm/v9') })).error).toMatchObject({
      code: 'PLATFORM_INVALID',
      hint: 'There are v5, v6, v7, v8.',
    });
    expect((await build(dir, { env: { GOARCH: 'mips' } })).error).toMatchObject({ code: 'OPTION_INVALID' });
  });

  it('fails when arguments of the user send the binary elsewhere', async () => {
    const { error } = await build(module({ 'main.go': hello }), {
      args: ['-gcflags=-e', '-o', join(root, 'elsewhere')],
    });
    expect(error).toMatchObject({ code: 'GO_BUILD_FAILED', message: expect.stringContaining('left no binary') });
  });

  it('passes ldflags after those of GOFLAGS, and tags', async () => {
    const dir = module({
      'main.go': 'package main\n\nvar a, b = "", ""\n\nfunc main() { println(a, b, tag) }\n',
      'on.go': '//go:build extra\n\npackage main\n\nconst tag = "on"\n',
      'off.go': '//go:build !extra\n\npackage main\n\nconst tag = "off"\n',
    });
    const over = { ldflags: '-X main.b=2', tags: ['extra'], env: { GOFLAGS: "'-ldflags=-X main.a=1' -mod=mod" } };
    const { file } = await build(dir, over);
    expect(spawnSync(file).stderr.toString()).toBe('1 2 on\n');
    const symbols = spawnSync('go', ['tool', 'nm', file]);
    expect(symbols.stderr.toString() + symbols.stdout.toString()).toContain('no symbols');
  });

  it('stops go and what it started when aborted, and leaves nothing behind', async () => {
    const dir = module({ 'main.go': net });
    const script = join(dir, 'slow');
    const pidFile = join(dir, 'pid');
    // A compiler that never ends: it says its process id and sleeps.
    writeFileSync(
      script,
      `#!/bin/sh\ncase "$*" in *-V=full*) exec "$@";; esac\necho $$ > ${pidFile}.tmp\nmv ${pidFile}.tmp ${pidFile}\nexec sleep 600\n`,
    );
    chmodSync(script, 0o755);
    const controller = new AbortController();
    const one = resolved(dir, { args: ['-a', `-toolexec=${script}`] });
    const done = goBuild([one], { signal: controller.signal });
    const pid = await poll(() => Number(readFileSync(pidFile, 'utf8')));
    controller.abort();
    await expect(done).rejects.toMatchObject({ code: 'ABORTED' });
    await poll(() => {
      expect(() => process.kill(pid, 0)).toThrow('ESRCH');
      return true;
    });
    expect(readdirSync(dirname(one.outputFile))).toEqual([]);
  });
});

describe('goBuild of many programs', () => {
  const program = (text: string) =>
    `package main\n\nimport "example.com/shop/lib"\n\nfunc main() { println(lib.Name, "${text}") }\n`;
  const shop = (files: Record<string, string> = {}) =>
    module({
      'lib/lib.go': 'package lib\n\nconst Name = "shop"\n',
      'a/main.go': program('a'),
      'b/main.go': program('b'),
      'b/cmd/a/main.go': program('the other a'),
      ...files,
    });
  const buildOf = (dir: string, folder: string, over: Partial<ResolvedBuild> = {}) =>
    resolved(dir, {
      main: join(dir, folder),
      outputFile: join(dir, folder, 'dist', folder.split('/').at(-1)!),
      ...over,
    });

  /** A `go` in front of the real one, which writes down how it was called. */
  function countedGo(dir: string): { readonly env: NodeJS.ProcessEnv; readonly builds: () => string[] } {
    const go = spawnSync(process.platform === 'win32' ? 'where' : 'which', ['go'], { encoding: 'utf8' }).stdout.trim();
    const log = join(dir, 'calls');
    mkdirSync(join(dir, 'bin'));
    writeFileSync(join(dir, 'bin', 'go'), `#!/bin/sh\necho "$@" >> ${log}\nexec ${go} "$@"\n`, { mode: 0o755 });
    return {
      env: { ...process.env, PATH: `${join(dir, 'bin')}:${process.env.PATH}` },
      builds: () =>
        readFileSync(log, 'utf8')
          .split('\n')
          .filter((line) => line.startsWith('build')),
    };
  }

  it('compiles by one `go build` what differs in the package alone, to the same bytes as one by one', async () => {
    const dir = shop();
    const { env: processEnv, builds } = countedGo(dir);
    const all = ['a', 'b', 'b/cmd/a'].map((folder) => buildOf(dir, folder, { processEnv }));
    const race = buildOf(dir, 'a', { ldflags: '-X main.x=1', outputFile: join(dir, 'other', 'a'), processEnv });
    const outcomes = await goBuild([...all, race]);
    expect(outcomes.map(({ error }) => error)).toEqual([undefined, undefined, undefined, undefined]);
    expect(outcomes.map(({ build }) => build)).toEqual([...all, race]);
    // Two programs called a can't be written into one folder.
    expect(builds()).toEqual([
      expect.stringMatching(/ \.\/a \.\/b$/),
      expect.stringMatching(/ \.\/b\/cmd\/a$/),
      expect.stringMatching(/main\.x=1 \.\/a$/),
    ]);
    for (const [index, one] of all.entries()) {
      const bytes = readFileSync(one.outputFile);
      expect(spawnSync(one.outputFile).stderr.toString()).toContain(['shop a', 'shop b', 'shop the other a'][index]);
      const alone = { ...one, outputFile: join(dir, 'alone') };
      await goBuild([alone]);
      expect(readFileSync(alone.outputFile).equals(bytes)).toBe(true);
      expect(readdirSync(dirname(one.outputFile))).toEqual([one.outputFile.split(/[\\/]/).at(-1)]);
    }
  });

  it('compiles the modules of a go.work together', async () => {
    const dir = shop({
      'go.work': 'go 1.21\n\nuse (\n\t.\n\t./own\n)\n',
      'own/go.mod': 'module example.com/own\n\ngo 1.21\n',
      'own/main.go': program('own'),
    });
    const { env: processEnv, builds } = countedGo(dir);
    const own = buildOf(dir, 'own', { moduleDir: join(dir, 'own'), processEnv });
    const outcomes = await goBuild([buildOf(dir, 'a', { processEnv }), own]);
    expect(outcomes.map(({ error }) => error)).toEqual([undefined, undefined]);
    expect(builds()).toEqual([expect.stringMatching(/ \.\/a \.\/own$/)]);
    expect(spawnSync(own.outputFile).stderr.toString()).toBe('shop own\n');
  });

  it.each([
    ['does not compile', 'package main\n\nfunc main() { nothing() }\n', 'undefined: nothing'],
    [
      'imports what is not there',
      'package main\n\nimport _ "example.com/shop/gone"\n\nfunc main() {}\n',
      'example.com/shop/gone',
    ],
    ['is no program', 'package bad\n', undefined],
    ['is no Go', 'package', 'expected'],
  ])('fails the one that %s alone, with its own message', async (_, text, message) => {
    const dir = shop({ 'bad/main.go': text });
    const all = ['a', 'bad', 'b'].map((folder) => buildOf(dir, folder));
    const output = new Map<ResolvedBuild, string>();
    const outcomes = await goBuild(all, {
      onOutput: (build, chunk) => output.set(build, `${output.get(build) ?? ''}${chunk}`),
    });
    expect(outcomes.map(({ error }) => error?.code)).toEqual([undefined, 'GO_BUILD_FAILED', undefined]);
    expect(spawnSync(all[2]!.outputFile).stderr.toString()).toBe('shop b\n');
    expect([...output.keys()]).toEqual(message === undefined ? [] : [all[1]]);
    const alone: string[] = [];
    const [single] = await goBuild([all[1]!], { onOutput: (_build, chunk) => alone.push(String(chunk)) });
    expect(output.get(all[1]!) ?? '').toBe(alone.join(''));
    if (message) expect(alone.join('')).toContain(message);
    expect(outcomes[1]?.error?.message).toBe(single?.error?.message);
  });

  it('takes no program from a go that was killed', async () => {
    const dir = shop();
    const { env: processEnv } = countedGo(dir);
    writeFileSync(join(dir, 'bin', 'go'), '#!/bin/sh\n[ "$1" = env ] && echo \'{"GOFLAGS":""}\' && exit\nkill -9 $$\n');
    const outcomes = await goBuild(['a', 'b'].map((folder) => buildOf(dir, folder, { processEnv })));
    expect(outcomes.map(({ error }) => error?.message)).toEqual([
      expect.stringContaining('was killed'),
      expect.stringContaining('was killed'),
    ]);
  });
});

async function poll<Value>(attempt: () => Value): Promise<Value> {
  for (let tries = 0; ; tries++) {
    try {
      return attempt();
    } catch (error) {
      if (tries > 1000) throw error;
      await new Promise((next) => setTimeout(next, 10));
    }
  }
}

const hasCompiler = process.platform === 'linux' && spawnSync('gcc', ['--version']).status === 0;

(hasCompiler ? describe : describe.skip)('binaries for a scratch image, with cgo on', () => {
  const cgo = { cgo: true, mustBeStatic: true } as const;

  it('refuses one with a loader, and says by which imports cgo came in and the cure', async () => {
    const dir = module({
      'main.go': 'package main\n\nimport "example.com/shop/lookup"\n\nfunc main() { lookup.Up() }\n',
      'lookup/lookup.go': 'package lookup\n\nimport "net"\n\nfunc Up() { println(net.FlagUp.String()) }\n',
    });
    const { error, file } = await build(dir, cgo);
    expect(error?.code).toBe('BINARY_NOT_STATIC');
    expect(error?.message).toContain('example.com/shop -> example.com/shop/lookup -> net');
    expect(error?.hint).toContain('CGO_ENABLED=0');
    expect(() => statSync(file)).toThrow();
    expect((await build(dir, { ...cgo, tags: ['netgo'] })).error).toBeUndefined();
    expect((await build(dir, { ...cgo, mustBeStatic: false })).error).toBeUndefined();
  });

  it('takes one that is linked statically, and reads the ELF as readelf does', async () => {
    const dir = module({
      'main.go': 'package main\n\n// int two() { return 2; }\nimport "C"\n\nfunc main() { println(C.two()) }\n',
    });
    const dynamic = await build(dir, { cgo: true });
    const readelf = spawnSync('readelf', ['-ld', dynamic.file]).stdout.toString();
    const header = await readBinary(dynamic.file);
    expect(header.needed).toEqual([...readelf.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name]) => name));
    expect(header.interpreter).toBe(/interpreter: (.*)\]/.exec(readelf)?.[1]);
    expect(header.needed).not.toEqual([]);
    const linked = await build(dir, { ...cgo, ldflags: '-linkmode=external -extldflags=-static' });
    expect(linked.error).toBeUndefined();
    expect(isStatic(await readBinary(linked.file))).toBe(true);
    expect(spawnSync(linked.file).stderr.toString()).toBe('2\n');
  });

  it('explains a loader that no package asked for', async () => {
    const { error } = await build(module({ 'main.go': hello }), { mustBeStatic: true, args: ['-buildmode=pie'] });
    expect(error).toMatchObject({ code: 'BINARY_NOT_STATIC', hint: expect.stringContaining('-buildmode=pie') });
  });
});

describe('names', () => {
  it('finds the module of a folder, and the import path of a package', () => {
    const dir = module({ 'cmd/x/main.go': hello });
    const found = enclosingModule(join(dir, 'cmd', 'x'));
    expect(found).toEqual({ dir, path: 'example.com/shop' });
    expect(importPath(found, join(dir, 'cmd', 'x'))).toBe('example.com/shop/cmd/x');
    expect(importPath(found, dir)).toBe('example.com/shop');
  });

  it.each(['example.com/shop', 'example.com/shop/v2', 'example.com/shop/v1', 'example.com/v10', 'example.com/shop.v3'])(
    'names the program of %s as go build does',
    (path) => {
      const dir = module({ 'main.go': hello, 'go.mod': `module ${path}\n\ngo 1.21\n` });
      const { stdout } = spawnSync('go', ['list', '-f', '{{.Target}}', '.'], {
        cwd: dir,
        env: { ...process.env, GOBIN: '/bin' },
      });
      expect(binaryName(path)).toBe(stdout.toString().trim().slice('/bin/'.length));
    },
  );

  it('finds the main packages below a folder', async () => {
    const dir = module({ 'lib.go': 'package lib\n', 'cmd/a/main.go': hello, 'testdata/b/main.go': hello });
    expect(await mainPackages(dir)).toEqual([join(dir, 'cmd', 'a')]);
  });
});

it('lets an explicit false win over GOFLAGS', () => {
  const flags = buildFlags(resolved('/x', { trimpath: false, strip: false }), '-trimpath -tags=a');
  expect(flags).toEqual(['-trimpath=false', '-buildvcs=false']);
});

it('refuses a binary of another machine or format than the platform has, and one that Go did not make', async () => {
  const { file } = await build(module({ 'main.go': hello }), { platform: parsePlatform('linux/arm64') });
  const header = await readBinary(file);
  const verify = (name: string) => () => verifyPlatform(header, parsePlatform(name), 'hello');
  expect(verify('linux/arm64')).not.toThrow();
  expect(verify('linux/amd64')).toThrow('hello is arm64 (elf), not linux/amd64.');
  expect(verify('windows/arm64')).toThrow('hello is arm64 (elf), not windows/arm64.');
  const text = join(root, 'text');
  for (const content of ['', 'MZ', '\x7fELF', '#!/bin/sh\n']) {
    writeFileSync(text, content);
    expect((await readBinary(text)).format).toBe('unknown');
  }
});
