import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, statSync } from 'node:fs';
import { describeWithEngine, docker, engineHost, imageIdOf } from './support/engine';
import { Workspace } from './support/workspace';

jest.setTimeout(300_000);

const name = 'slim-go-e2e-hello';
const binary = `apps/${name}/dist/linux/amd64/${name}`;
const noEngine = { DOCKER_HOST: 'unix:///nonexistent/docker.sock' };
const architecture = execFileSync('go', ['env', 'GOARCH'], { encoding: 'utf8' }).trim();
const built = binary.replace('amd64', architecture);

interface Record {
  references: string[];
  platforms: { platform: string; imageId: string; manifestDigest: string; sizeBytes: number }[];
}

/** What Nx says it did with each task: `hello:build` -> whether it came from the cache. */
function cacheHits(output: string): { [task: string]: boolean } {
  const lines = output.matchAll(/^(?:> nx run|✔ {2}nx run|. {2}nx run) (\S+)(?: {2}(\[.*cache.*\]))?/gm);
  return Object.fromEntries([...lines].map(([, task, cached]) => [task!.split(':').pop()!, cached !== undefined]));
}

describe('a generated app', () => {
  let workspace: Workspace;
  const record = (): Record => JSON.parse(workspace.read(`apps/${name}/dist/image/image.json`));
  const sha256 = (file: string) =>
    createHash('sha256')
      .update(readFileSync(workspace.path(file)))
      .digest('hex');

  beforeAll(async () => {
    workspace = await Workspace.create();
    await workspace.nx(['g', 'slim-go:app', `apps/${name}`]);
    await workspace.commit('app');
  });
  afterAll(() => {
    workspace?.remove();
    if (engineHost && imageIdOf(name)) docker('rmi', '-f', imageIdOf(name)!);
  });

  it('leaves a workspace alone that is set up already', async () => {
    await workspace.nx(['g', 'slim-go:init']);
    expect(await workspace.run('git', ['status', '--porcelain'])).toBe('');
    expect(JSON.parse(workspace.read('nx.json')).plugins).toEqual(['slim-go']);
    expect(workspace.read('.gitignore').split('\n')).toContain('dist');
  });

  it('never overwrites what is there', async () => {
    const again = await workspace.tryNx(['g', 'slim-go:app', `apps/${name}`]);
    expect(again.exitCode).not.toBe(0);
    expect(again.output).toContain(`apps/${name} has main.go, main_test.go, Dockerfile, .dockerignore already`);
    expect(await workspace.run('git', ['status', '--porcelain'])).toBe('');
  });

  it('is compiled to the bytes that go build makes with the same flags', async () => {
    await workspace.nx(['build', name]);
    const other = workspace.path('by-hand');
    const flags = ['-trimpath', '-buildvcs=false', '-ldflags=-s -w'];
    await workspace.run('go', ['build', ...flags, '-o', other, `./apps/${name}`], {
      env: { CGO_ENABLED: '0', GOOS: 'linux' },
    });
    expect(sha256(built)).toBe(sha256('by-hand'));
    expect(statSync(workspace.path(built)).mode & 0o777).toBe(0o755);
  });

  it('becomes an image without any engine, the same bytes every time, 4 KB over the binary at most', async () => {
    const output = await workspace.nx(['run', `${name}:image`], { env: noEngine });
    const first = sha256(`apps/${name}/dist/image/image.tar`);
    const [image] = record().platforms;
    expect(output).toContain(`${name}:latest  linux/${architecture}`);
    expect(output).toContain(image!.imageId);
    expect(image!.sizeBytes - statSync(workspace.path(built)).size).toBeLessThan(4096);
    await workspace.nx(['run', `${name}:image`, '--skip-nx-cache'], { env: noEngine });
    expect(sha256(`apps/${name}/dist/image/image.tar`)).toBe(first);
  });

  it('says in one line where the archive is when no engine answers, and fails only when one is demanded', async () => {
    const auto = await workspace.nx(['run', `${name}:docker-build`], { env: noEngine });
    expect(auto).toContain(`docker load -i apps/${name}/dist/image/image.tar`);
    const demanded = await workspace.tryNx(['run', `${name}:docker-build`, '--load=true'], { env: noEngine });
    expect(demanded.exitCode).not.toBe(0);
    expect(demanded.output).toContain('No container engine answers at unix:///nonexistent/docker.sock');
    const off = await workspace.nx(['run', `${name}:docker-build`, '--load=false']);
    expect(off).toContain('not loaded');
  });

  it('restores image.tar from the cache', async () => {
    const before = sha256(`apps/${name}/dist/image/image.tar`);
    await workspace.run('rm', ['-rf', workspace.path(`apps/${name}/dist`)]);
    expect(cacheHits(await workspace.nx(['run', `${name}:image`]))).toEqual({ build: true, image: true });
    expect(sha256(`apps/${name}/dist/image/image.tar`)).toBe(before);
  });

  describeWithEngine('in a container engine', () => {
    const dockerBuild = (...args: string[]) => workspace.nx(['run', `${name}:docker-build`, ...args]);

    it('is loaded once, and after that found there, with build and image from the cache', async () => {
      expect(await dockerBuild()).toContain(`${name}:latest: loaded`);
      expect(imageIdOf(name)).toBe(record().platforms[0]!.imageId);
      const again = await dockerBuild();
      expect(again).toContain(`${name}:latest: already there`);
      expect(cacheHits(again)).toEqual({ build: true, image: true, 'docker-build': false });
    });

    it('is there again after docker rmi, and under its tag when that named another image', async () => {
      docker('rmi', `${name}:latest`);
      expect(await dockerBuild()).toContain('loaded');
      docker('tag', `${name}:latest`, `${name}:keep`);
      execFileSync('docker', ['import', '-', `${name}:latest`], {
        env: { ...process.env, DOCKER_HOST: engineHost },
        input: Buffer.alloc(1024),
        stdio: ['pipe', 'ignore', 'pipe'],
      });
      expect(await dockerBuild()).toContain('re-tagged');
      expect(imageIdOf(`${name}:latest`)).toBe(record().platforms[0]!.imageId);
      docker('rmi', `${name}:keep`);
    });

    it('gets further tags', async () => {
      expect(await dockerBuild('--tags=dev')).toContain(`${name}:dev`);
      expect(imageIdOf(`${name}:dev`)).toBe(record().platforms[0]!.imageId);
      docker('rmi', `${name}:dev`);
    });

    it('runs and prints its line, and is loaded for that where it lacks', async () => {
      docker('rmi', '-f', imageIdOf(name)!);
      expect(await workspace.nx(['run', `${name}:docker-run`])).toContain('Hello, World!');
      expect(docker('ps', '-aq', '--filter', `ancestor=${name}`)).toBe('');
    });

    it('is replaced when it is stale, and gets arguments and its exit code through', async () => {
      const main = workspace.read(`apps/${name}/main.go`);
      workspace.write(
        `apps/${name}/main.go`,
        'package main\n\nimport (\n\t"fmt"\n\t"os"\n)\n\nfunc main() {\n\tfmt.Printf("%q\\n", os.Args[1:])\n\tos.Exit(len(os.Args) - 3)\n}\n',
      );
      const ok = await workspace.nx(['run', `${name}:docker-run`, '--', '--any', '--flags']);
      expect(ok).toContain('["--any" "--flags"]');
      const failed = await workspace.tryNx(['run', `${name}:docker-run`, '--', 'a b', '$HOME', '3', '4', '5']);
      expect(failed.exitCode).not.toBe(0);
      expect(failed.output).toContain('["a b" "$HOME" "3" "4" "5"]');
      expect(failed.output).toContain('exited with code 3');
      workspace.write(`apps/${name}/main.go`, main);
    });

    it('is the same image by plain docker build in the project folder', async () => {
      await workspace.nx(['run', `${name}:docker-build`]);
      const folder = workspace.path(`apps/${name}`);
      docker('build', '-q', '--build-arg', `TARGETPLATFORM=linux/${architecture}`, '-t', `${name}:plain`, folder);
      const config = (reference: string) => {
        // BuildKit, whose meaning the embedded engine has, writes the default WORKDIR; the classic builder leaves it out.
        const { Labels, Image, Hostname, WorkingDir, ...rest } = JSON.parse(
          docker('inspect', '--format', '{{json .Config}}', reference),
        );
        return { ...rest, WorkingDir: WorkingDir || '/' };
      };
      const tree = (reference: string) => {
        const container = docker('create', reference);
        try {
          const listing = execFileSync('sh', ['-c', `docker export ${container} | tar -tv --numeric-owner`], {
            encoding: 'utf8',
            env: { ...process.env, DOCKER_HOST: engineHost },
          });
          return listing
            .split('\n')
            .map((line) => line.replace(/\d{4}-\d\d-\d\d \d\d:\d\d/, ''))
            .sort();
        } finally {
          docker('rm', container);
        }
      };
      expect(config(`${name}:plain`)).toEqual(config(`${name}:latest`));
      expect(tree(`${name}:plain`)).toEqual(tree(`${name}:latest`));
      docker('rmi', `${name}:plain`);
    });

    it('is reproducible when the engine builds it, too', async () => {
      await workspace.nx(['run', `${name}:image`, '--engine=docker']);
      const [first] = record().platforms;
      await workspace.nx(['run', `${name}:image`, '--engine=docker', '--skip-nx-cache']);
      expect(record().platforms[0]).toEqual(first);
      expect(docker('images', '-q', 'slim-go-build')).toBe('');
      await workspace.nx(['run', `${name}:image`]);
    });
  });

  describe('the cache', () => {
    const run = async (env: { [name: string]: string } = {}) =>
      cacheHits(await workspace.nx(['run', `${name}:image`], { env }));
    const hit = { build: true, image: true };
    const missed = { build: false, image: false };

    beforeAll(async () => {
      workspace.write(
        'libs/greet/greet.go',
        'package greet\n\nimport _ "embed"\n\n//go:embed text.txt\nvar Text string\n',
      );
      workspace.write('libs/greet/text.txt', 'Hello from a library\n');
      workspace.write('libs/other/other.go', 'package other\n');
      const module = /^module (\S+)/m.exec(workspace.read('go.mod'))![1];
      workspace.write(
        `apps/${name}/main.go`,
        `package main\n\nimport (\n\t"fmt"\n\n\t"${module}/libs/greet"\n)\n\nfunc main() {\n\tfmt.Print(greet.Text)\n}\n`,
      );
      await run();
    });

    it('is hit when nothing changed', async () => {
      expect(await run()).toEqual(hit);
    });

    it.each([
      ['the app', `apps/${name}/main.go`, '\nvar Unused = "x"\n\nfunc init() { println(Unused) }\n'],
      ['an imported library', 'libs/greet/greet.go', '\nfunc init() { println("more") }\n'],
      ['an embedded file', 'libs/greet/text.txt', 'more\n'],
    ])('is missed after a change of %s', async (_, file, addition) => {
      const before = workspace.read(file);
      workspace.write(file, before + addition);
      expect(await run()).toEqual(missed);
      workspace.write(file, before);
      expect(await run()).toEqual(hit);
    });

    it('is missed for build alone where the binary comes out the same', async () => {
      const before = workspace.read('libs/greet/greet.go');
      workspace.write('libs/greet/greet.go', `${before}\n// A comment.\n`);
      expect(await run()).toEqual({ build: false, image: true });
      workspace.write('libs/greet/greet.go', before);
    });

    it('is missed for image alone after a change of the Dockerfile', async () => {
      const file = `apps/${name}/Dockerfile`;
      const before = workspace.read(file);
      workspace.write(file, `${before}ENV MORE=1\n`);
      expect(await run()).toEqual({ build: true, image: false });
      workspace.write(file, before);
    });

    it('is missed after a change of go.mod, GOOS, GOFLAGS or the Go version', async () => {
      const before = workspace.read('go.mod');
      workspace.write('go.mod', `${before}\nretract v0.0.1\n`);
      expect((await run()).build).toBe(false);
      workspace.write('go.mod', before);
      expect((await run({ GOFLAGS: '-tags=x' })).build).toBe(false);
      expect((await run({ GOAMD64: 'v2' })).build).toBe(false);
      const realGo = execFileSync('go', ['env', 'GOROOT'], { encoding: 'utf8' }).trim();
      workspace.write('.nx/other-go/go', `#!/bin/sh\n"${realGo}/bin/go" "$@" | sed 's/go1\\.[0-9]*/go1.99/'\n`);
      chmodSync(workspace.path('.nx/other-go/go'), 0o755);
      const otherGo = { PATH: `${workspace.path('.nx/other-go')}:${process.env.PATH}` };
      expect((await run(otherGo)).build).toBe(false);
      const other = await workspace.nx(['run', `${name}:build`, '--platforms=linux/arm64']);
      expect(cacheHits(other)).toEqual({ build: false });
      expect(await run()).toEqual(hit);
    });

    it('is hit after a change of a test, a README or a package that is not imported', async () => {
      workspace.write(`apps/${name}/more_test.go`, 'package main\n');
      workspace.write(`apps/${name}/README.md`, '# more\n');
      workspace.write('libs/greet/greet_test.go', 'package greet\n');
      workspace.write('libs/other/other.go', 'package other\n\nvar X = 1\n');
      expect(await run()).toEqual(hit);
    });
  });

  it('leaves nothing half written', () => {
    expect(existsSync(workspace.path(`apps/${name}/dist/image`))).toBe(true);
    expect(
      execFileSync('find', [workspace.path(`apps/${name}/dist`), '-name', '*.tmp', '-o', '-name', '.build-*'], {
        encoding: 'utf8',
      }),
    ).toBe('');
  });
});
