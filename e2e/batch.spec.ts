import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describeWithEngine, docker, imageIdOf } from './support/engine';
import { TestRegistry } from './support/registry';
import { type CommandOptions, signalGroup, Workspace } from './support/workspace';

jest.setTimeout(300_000);

const prefix = 'slim-go-batch';
/** The last one has a binary of the same name as the first, so that they can't come out of one `go build`. */
const apps = { one: 'apps/one', two: 'apps/two', env: 'apps/env', same: 'other/one' } as const;
const names = Object.keys(apps).map((app) => `${prefix}-${app}`);

const program = (text: string) => `package main

import "example.com/acme/libs/greet"

func main() { println(greet.Greeting(${JSON.stringify(text)}), special) }
`;

describeWithEngine('a batch, and the same tasks one by one', () => {
  let workspace: Workspace;

  beforeAll(async () => {
    workspace = await Workspace.create();
    workspace.write('go.mod', 'module example.com/acme\n\ngo 1.24\n');
    workspace.write('nx.json', '{ "plugins": ["slim-go"] }\n');
    workspace.write('.gitignore', `${workspace.read('.gitignore')}dist\n`);
    workspace.write(
      'libs/greet/greet.go',
      'package greet\n\nfunc Greeting(name string) string { return "Hello, " + name }\n',
    );
    for (const [app, folder] of Object.entries(apps)) {
      const binary = folder.split('/').at(-1);
      workspace.write(`${folder}/main.go`, program(app));
      workspace.write(`${folder}/plain.go`, '//go:build !special\n\npackage main\n\nconst special = false\n');
      workspace.write(`${folder}/special.go`, '//go:build special\n\npackage main\n\nconst special = true\n');
      workspace.write(
        `${folder}/Dockerfile`,
        `FROM scratch\nARG TARGETPLATFORM\nCOPY dist/$TARGETPLATFORM/${binary} /program\nENTRYPOINT ["/program"]\n`,
      );
      workspace.write(`${folder}/project.json`, `{ "name": "${prefix}-${app}" }\n`);
    }
    // Nx hands it to a task that runs by itself, and to no process of many.
    workspace.write('apps/env/.env', 'GOFLAGS=-tags=special\n');
    await workspace.commit('apps');
  });
  afterEach(async () => {
    await workspace.run('git', ['checkout', '-q', '.']);
    forget();
  });
  afterAll(() => {
    workspace?.remove();
    removeImages();
  });

  function removeImages(): void {
    const ids = names.flatMap((name) => imageIdOf(name) ?? []);
    if (ids.length > 0) docker('rmi', '-f', ...ids);
  }

  /** Everything that was made, and what Nx knows of it. */
  function forget(): void {
    removeImages();
    for (const folder of Object.values(apps)) rmSync(workspace.path(folder, 'dist'), { recursive: true, force: true });
    rmSync(workspace.path('.nx'), { recursive: true, force: true });
  }

  function outputs(): Record<string, string> {
    const files = Object.values(apps).flatMap((folder) =>
      readdirSync(workspace.path(folder), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()),
    );
    return Object.fromEntries(
      files
        .map((entry) => join(entry.parentPath, entry.name))
        .map((file) => [relative(workspace.root, file), createHash('sha256').update(readFileSync(file)).digest('hex')]),
    );
  }

  /** What each task has printed, by its name, without how long it took. */
  function logs(output: string): Record<string, string> {
    const parts = output.split(/^> nx run (?=\S+:)/m).slice(1);
    return Object.fromEntries(
      parts.map((part) => {
        const [head = '', ...lines] = part.split('\n');
        const end = lines.findIndex((line) => / NX /.test(line));
        const text = lines.slice(0, end < 0 ? undefined : end).filter((line) => line.trim() !== '');
        return [head.replace(/ +\[.*$/, ''), text.join('\n').replace(/\b[\d.]+ m?s\b/g, 'N s')];
      }),
    );
  }

  /** In a cache of its own: Nx's is that of all checkouts of a repository, wherever it lies. */
  const nx = (args: readonly string[], { env, ...options }: CommandOptions = {}) =>
    workspace.tryNx(args, { ...options, env: { ...env, NX_CACHE_DIRECTORY: workspace.path('.nx', 'own-cache') } });
  const runMany = (...args: string[]) =>
    nx(['run-many', '-t', 'docker-build', '--output-style=static', '--nxBail=false', ...args]);
  const hits = (output: string) =>
    output.match(/\[(?:local cache|existing outputs match the cache[^\]]*)\]/g)?.length ?? 0;

  it('gives the same files, logs, images and cache entries', async () => {
    const batch = await runMany();
    expect(batch.exitCode).toBe(0);
    for (const target of ['build', 'image', 'docker-build']) {
      expect(batch.output).toContain(`Running 4 tasks with slim-go:${target}`);
    }
    const batchFiles = outputs();
    const batchIds = names.map(imageIdOf);
    expect(docker('run', '--rm', `${prefix}-env`)).toBe('');
    expect(spawnSync('docker', ['run', '--rm', `${prefix}-env`]).stderr.toString()).toBe('Hello, env true\n');
    expect(spawnSync('docker', ['run', '--rm', `${prefix}-same`]).stderr.toString()).toBe('Hello, same false\n');

    // What the batch has put into the cache is what each task by itself would look for there.
    const again = await runMany('--batch=false');
    expect(hits(again.output)).toBe(8);
    expect(again.output).not.toMatch(/Running \d+ tasks with/);

    forget();
    const single = await runMany('--batch=false');
    expect(single.exitCode).toBe(0);
    expect(hits(single.output)).toBe(0);
    expect(outputs()).toEqual(batchFiles);
    expect(names.map(imageIdOf)).toEqual(batchIds);
    expect(Object.keys(logs(single.output))).toHaveLength(12);
    expect(logs(batch.output)).toEqual(logs(single.output));

    // And the other way round.
    const batchAgain = await runMany();
    expect(hits(batchAgain.output)).toBe(8);
  });

  it('lets a program that does not compile fail alone, as by itself, and never out of the cache', async () => {
    workspace.write('apps/two/main.go', 'package main\n\nfunc main() { nothing() }\n');
    const batch = await runMany();
    expect(batch.exitCode).toBe(1);
    expect(batch.output.match(/main\.go:3:15: undefined: nothing/g)).toHaveLength(1);
    expect(batch.output).toMatch(/Failed tasks:\s+- slim-go-batch-two:build/);
    expect(imageIdOf(`${prefix}-one`)).toBeDefined();
    expect(imageIdOf(`${prefix}-two`)).toBeUndefined();
    const batchFiles = outputs();
    const twice = await runMany();
    expect(twice.output.match(/main\.go:3:15: undefined: nothing/g)).toHaveLength(1);
    forget();
    const single = await runMany('--batch=false');
    expect(single.output.match(/main\.go:3:15: undefined: nothing/g)).toHaveLength(1);
    expect(outputs()).toEqual(batchFiles);
    const build = `${prefix}-two:build`;
    expect(logs(batch.output)[build]).toBe(logs(single.output)[build]);
  });

  it('pushes what one by one pushes', async () => {
    const registry = await TestRegistry.start();
    try {
      const push = async (repository: string, ...args: string[]) => {
        const { exitCode, output } = await nx([
          'run-many',
          '-t',
          'docker-push',
          `--repository=${registry.domain}/${repository}`,
          ...args,
        ]);
        expect(exitCode).toBe(0);
        return output;
      };
      // All into one repository: the tags tell them apart.
      for (const [app, folder] of Object.entries(apps)) {
        workspace.write(
          `${folder}/project.json`,
          `{ "name": "${prefix}-${app}", "targets": { "image": { "options": { "tags": ["${app}"] } } } }\n`,
        );
      }
      expect(await push('batch')).toContain('Running 4 tasks with slim-go:docker-push');
      await push('single', '--batch=false');
      for (const app of Object.keys(apps)) {
        const digest = await registry.digestOf('batch', app);
        expect(digest).toMatch(/^sha256:/);
        expect(await registry.digestOf('single', app)).toBe(digest);
      }
    } finally {
      registry.stop();
    }
  });

  it('stops on Ctrl-C without a success, a process or half a file', async () => {
    const tools = workspace.path('.nx', 'tools');
    const pids = join(tools, 'pids');
    mkdirSync(tools, { recursive: true });
    const go = spawnSync('which', ['go'], { encoding: 'utf8' }).stdout.trim();
    workspace.write(
      '.nx/tools/go',
      `#!/bin/sh\n[ "$1" = build ] || exec ${go} "$@"\necho $$ >> ${pids}\nexec sleep 600\n`,
    );
    chmodSync(join(tools, 'go'), 0o755);
    let timer: NodeJS.Timeout | undefined;
    const { exitCode, output } = await nx(['run-many', '-t', 'build'], {
      env: { PATH: `${tools}:${process.env.PATH}` },
      onStart: (child) => {
        timer = setInterval(() => {
          if (!existsSync(pids)) return;
          clearInterval(timer);
          signalGroup(child, 'SIGINT');
        }, 20);
      },
    }).finally(() => clearInterval(timer));
    expect(exitCode).not.toBe(0);
    expect(output).not.toContain('Successfully ran');
    for (const pid of readFileSync(pids, 'utf8').trim().split('\n')) {
      expect(() => process.kill(Number(pid), 0)).toThrow('ESRCH');
    }
    expect(Object.keys(outputs()).filter((file) => file.includes('/dist/'))).toEqual([]);
  });
});
