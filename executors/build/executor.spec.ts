import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ExecutorContext } from '@nx/devkit';
import { formatPlatform, hostContainerPlatform, hostPlatform } from '../../platform';
import build, { resolveBuilds } from './executor';

const schema = JSON.parse(readFileSync(join(__dirname, 'schema.json'), 'utf8'));
/** As Nx fills them in. */
const defaults = Object.fromEntries(
  Object.entries<{ default?: unknown }>(schema.properties)
    .filter(([, property]) => 'default' in property)
    .map(([name, property]) => [name, property.default]),
) as unknown as Parameters<typeof build>[0];

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const hello = 'package main\n\nfunc main() { println("hello") }\n';

function workspace(files: Record<string, string>, projectRoot = 'apps/hello'): ExecutorContext {
  const root = mkdtempSync(join(tmpdir(), 'slim-go-executor-'));
  folders.push(root);
  for (const [name, text] of Object.entries({ 'go.mod': 'module example.com/shop\n\ngo 1.21\n', ...files })) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  const projects = { hello: { root: projectRoot, targets: { build: { executor: 'slim-go:build' } } } };
  return {
    root,
    cwd: root,
    projectName: 'hello',
    isVerbose: false,
    projectsConfigurations: { version: 2, projects },
    nxJsonConfiguration: {},
    projectGraph: { nodes: {}, dependencies: {} },
  };
}

async function printed<Result>(
  work: () => Promise<Result>,
): Promise<{ result: Result; stdout: string; stderr: string }> {
  const text = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((stream) =>
    jest.spyOn(process[stream], 'write').mockImplementation((chunk) => {
      text[stream] += chunk;
      return true;
    }),
  );
  const result = await work().finally(() => {
    for (const spy of spies) spy.mockRestore();
  });
  return { result, ...text };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe('slim-go:build', () => {
  it('builds for each platform into the folder that TARGETPLATFORM names, and reports size and time', async () => {
    const context = workspace({ 'apps/hello/main.go': hello });
    const platforms = ['linux/amd64', 'linux/arm64/v8', 'windows/amd64', 'linux/x86_64'];
    const { result, stdout } = await printed(() => build({ ...defaults, platforms }, context));
    expect(result).toEqual({ success: true });
    const dist = join(context.root, 'apps', 'hello', 'dist');
    expect(existsSync(join(dist, 'linux', 'amd64', 'hello'))).toBe(true);
    expect(existsSync(join(dist, 'linux', 'arm64', 'hello'))).toBe(true);
    expect(existsSync(join(dist, 'windows', 'amd64', 'hello.exe'))).toBe(true);
    expect(stdout.trim().split('\n')).toHaveLength(3);
    expect(stdout).toMatch(/linux.amd64.hello {2}linux\/amd64 {2}\S+ MB {2}[\d.]+ m?s\n/);
  });

  it('builds for linux where there is a Dockerfile, otherwise for this machine', async () => {
    const platform = async (files: Record<string, string>) =>
      (
        await resolveBuilds({
          options: defaults,
          context: workspace({ 'apps/hello/main.go': hello, ...files }),
          env: process.env,
        })
      ).map((one) => one.platform);
    expect(await platform({})).toEqual([hostPlatform()]);
    expect(await platform({ 'apps/hello/Dockerfile': 'FROM scratch\n' })).toEqual([hostContainerPlatform()]);
  });

  it.each([
    ['FROM scratch', true],
    ['FROM golang AS build\nfrom --platform=linux/amd64 scratch\n', true],
    ['FROM scratch AS base\nFROM base', true],
    ['FROM scratch AS base\nFROM alpine', false],
  ])('asks for a static binary where the image starts from nothing: %j', async (dockerfile, mustBeStatic) => {
    const context = workspace({ 'apps/hello/main.go': hello, 'apps/hello/Dockerfile': dockerfile });
    const [one] = await resolveBuilds({ options: { ...defaults, cgo: true }, context: context, env: process.env });
    expect(one).toMatchObject({ mustBeStatic });
    const [race] = await resolveBuilds({ options: { ...defaults, race: true }, context: context, env: process.env });
    expect(race).toMatchObject({ mustBeStatic: false });
  });

  it('finds the only main package below, and names them all where there are several', async () => {
    const files = { 'apps/hello/lib.go': 'package lib\n', 'apps/hello/cmd/one/main.go': hello };
    const [one] = await resolveBuilds({ options: defaults, context: workspace(files), env: process.env });
    expect(one?.outputFile).toMatch(/[\\/]one(\.exe)?$/);
    const two = workspace({ ...files, 'apps/hello/cmd/two/main.go': hello });
    const { result, stderr } = await printed(() => build(defaults, two));
    expect(result).toEqual({ success: false });
    expect(stderr).toMatch(/holds 2 main packages: cmd.one, cmd.two\.\n {2}Say which one/);
    const [chosen] = await resolveBuilds({
      options: { ...defaults, main: '{projectRoot}/cmd/two/main.go' },
      context: two,
      env: process.env,
    });
    expect(chosen?.main).toBe(join(two.root, 'apps', 'hello', 'cmd', 'two'));
    await expect(
      resolveBuilds({ options: { ...defaults, main: 'cmd/two' }, context: two, env: process.env }),
    ).rejects.toMatchObject({
      hint: 'Paths start at the workspace root: write "{projectRoot}/cmd/two".',
    });
  });

  it('stamps the release into the variables that there are, and nothing by default', async () => {
    const source = (name: string) =>
      `package main\n\nvar ${name}, version, date = "none", "dev", "never"\n\nfunc main() { println(${name}, version, date) }\n`;
    const context = workspace({ 'apps/hello/main.go': source('commit'), 'apps/other/main.go': source('Sha') });
    const git = (...args: string[]) =>
      spawnSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], {
        cwd: context.root,
        encoding: 'utf8',
      }).stdout.trim();
    git('init', '-q');
    git('add', '-A');
    git('commit', '-qm', 'one');
    git('tag', 'v1.2.3');
    const date = new Date(Number(git('log', '-1', '--format=%ct')) * 1000).toISOString().replace('.000', '');
    const run = async (changed: Partial<typeof defaults>) => {
      const options = { ...defaults, outputPath: 'out', ...changed };
      const { result } = await printed(() => build(options, context));
      expect(result).toEqual({ success: true });
      const [one] = await resolveBuilds({ options, context, env: process.env });
      return spawnSync(one!.outputFile, { encoding: 'utf8' }).stderr.trim();
    };
    expect(await run({})).toBe('none dev never');
    const sha = git('rev-parse', 'HEAD');
    expect(await run({ stamp: true })).toBe(`${sha} 1.2.3 ${date}`);
    expect(await run({ stamp: { commit: 'main.Sha' }, main: 'apps/other' })).toBe(`${sha} dev never`);
    expect(await run({ stamp: true, ldflags: '-X main.version=mine' })).toBe(`${sha} mine ${date}`);
  });

  it('says what to do about a variable that is no string', async () => {
    const context = workspace({
      'apps/hello/main.go': `package main\n\nvar version = 1\n\nfunc main() { println(version) }\n`,
    });
    spawnSync('git', ['init', '-q'], { cwd: context.root });
    const commit = ['-c', 'user.name=t', '-c', 'user.email=t@e', 'commit', '-q', '--allow-empty', '-m', 'one'];
    spawnSync('git', commit, { cwd: context.root });
    const { result, stderr } = await printed(() => build({ ...defaults, stamp: true }, context));
    expect(result).toEqual({ success: false });
    expect(stderr).toMatch(/main\.version: cannot set with -X[\s\S]*name yours in the option stamp/);
  });

  it('builds a project in the root of the workspace', async () => {
    const [one] = await resolveBuilds({
      options: defaults,
      context: workspace({ 'main.go': hello }, '.'),
      env: process.env,
    });
    expect(one?.outputFile.replace(/\.exe$/, '')).toMatch(/[\\/]shop$/);
    expect(one?.outputFile).toContain(join('dist', ...formatPlatform(hostPlatform()).split('/')));
  });

  it('says what to do where there is no module', async () => {
    const context = workspace({ 'apps/hello/main.go': hello });
    rmSync(join(context.root, 'go.mod'));
    const { result, stderr } = await printed(() => build(defaults, context));
    expect(result).toEqual({ success: false });
    expect(stderr).toMatch(/belongs to no Go module.*\n {2}Run `nx g slim-go:init`/);
  });

  it('says where to get Go when there is none', async () => {
    const context = workspace({ 'apps/hello/main.go': hello });
    const env = { PATH: context.root, GOROOT: '' };
    const { result, stderr } = await printed(() => build({ ...defaults, env }, context));
    expect(result).toEqual({ success: false });
    expect(stderr).toMatch(/^The go command was found neither.*\n {2}Install Go from https:\/\/go\.dev\/dl\//);
  });

  it('fails with the messages of go, untouched', async () => {
    const context = workspace({ 'apps/hello/main.go': 'package main\n\nfunc main() { nothing() }\n' });
    const { result, stderr } = await printed(() => build(defaults, context));
    const { stderr: own } = spawnSync('go', ['build', '-o', 'x', './apps/hello'], {
      cwd: context.root,
      encoding: 'utf8',
    });
    expect(result).toEqual({ success: false });
    expect(own).toContain('undefined: nothing');
    expect(stderr).toContain(own);
  });

  it('stops on Ctrl-C without success, half a binary or a process', async () => {
    const context = workspace({ 'apps/hello/main.go': hello });
    const script = join(context.root, 'slow');
    const pidFile = join(context.root, 'pid');
    writeFileSync(
      script,
      `#!/bin/sh\ncase "$*" in *-V=full*) exec "$@";; esac\necho $$ > ${pidFile}.$$\nmv ${pidFile}.$$ ${pidFile}\nexec sleep 600\n`,
    );
    chmodSync(script, 0o755);
    const before = process.listenerCount('SIGINT');
    const running = printed(() => build({ ...defaults, args: ['-a', `-toolexec=${script}`] }, context));
    while (!existsSync(pidFile)) await new Promise(setImmediate);
    process.emit('SIGINT', 'SIGINT');
    const { result, stderr } = await running;
    expect(result).toEqual({ success: false });
    expect(stderr).toContain('Interrupted by SIGINT.');
    // Its end is for init to notice; that it never comes is what the test's time limit finds.
    while (isAlive(Number(readFileSync(pidFile, 'utf8')))) await new Promise(setImmediate);
    expect(
      readdirSync(join(context.root, 'apps', 'hello', 'dist'), { recursive: true }).filter((name) =>
        /hello/.test(String(name)),
      ),
    ).toEqual([]);
    expect(process.listenerCount('SIGINT')).toBe(before);
  });
});
