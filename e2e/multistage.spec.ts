/**
 * Dockerfiles with RUN, FROM golang and FROM alpine, built by a container engine. No outside image registry is at hand:
 * the base images are stand-ins that support/base-images.ts assembles, and their builds have no network.
 */
import { randomUUID } from 'node:crypto';
import { BaseImages } from './support/base-images';
import { cacheHits } from './support/cache-hits';
import { describeWithEngine, docker, imageIdOf } from './support/engine';
import { Workspace } from './support/workspace';

jest.setTimeout(300_000);

describeWithEngine('Dockerfiles that compile or start from a base image', () => {
  const bases = new BaseImages();
  const names: string[] = [];
  let workspace: Workspace;
  let start: string;

  beforeAll(async () => {
    workspace = await Workspace.create();
    start = await workspace.run('git', ['rev-parse', 'HEAD']);
  });
  afterAll(() => {
    workspace?.remove();
    for (const name of names) removeImages(name);
    bases.remove();
  });

  /** An empty workspace again, without another installation. */
  const reset = async () => {
    await workspace.run('git', ['checkout', '-q', '-f', start.trim()]);
    await workspace.run('git', ['clean', '-fdq']);
  };
  const projectName = (suffix: string) => {
    const name = `slim-go-e2e-multi-${suffix}`;
    names.push(name);
    return name;
  };
  const provideBases = (name: string) => {
    for (const [, base] of workspace.read(`apps/${name}/Dockerfile`).matchAll(/^FROM (\S+:\S+)/gm))
      bases.provide(base!);
  };
  const idOf = (name: string): string =>
    JSON.parse(workspace.read(`apps/${name}/dist/image/image.json`)).platforms[0].imageId;

  describe.each(['module', 'workspace'])('multistage, with --layout=%s', (layout) => {
    const name = projectName(layout);
    const dockerfile = `apps/${name}/Dockerfile`;
    const image = (...args: string[]) => workspace.nx(['run', `${name}:image`, ...args]);

    beforeAll(async () => {
      await reset();
      await workspace.nx(['g', 'slim-go:init', `--layout=${layout}`, '--module=example.com/acme']);
      await workspace.nx(['g', 'slim-go:app', `apps/${name}`, '--dockerfile=multistage']);
      workspace.write('libs/greet/greet.go', 'package greet\n\nconst Text = "Hello from a library"\n');
      if (layout === 'workspace') {
        workspace.write('libs/greet/go.mod', 'module example.com/acme/libs/greet\n\ngo 1.21\n');
        await workspace.run('go', ['work', 'use', './libs/greet']);
      }
      workspace.write(
        `apps/${name}/main.go`,
        'package main\n\nimport (\n\t"fmt"\n\n\t"example.com/acme/libs/greet"\n)\n\nfunc main() {\n\tfmt.Println(greet.Text)\n}\n',
      );
      workspace.write(`apps/${name}/main_test.go`, 'package main\n');
      await workspace.commit(layout);
      provideBases(name);
    });

    it('is built and prints the line of the library, with nothing left but the image', async () => {
      const output = await workspace.nx(['run', `${name}:docker-run`]);
      expect(output).toContain('Hello from a library');
      expect(output).toContain('go mod download');
      expect(output).not.toContain(`nx run ${name}:build`);
      expect(imageIdOf(name)).toBe(idOf(name));
      expect(docker('ps', '-aq', '--filter', `ancestor=${name}`)).toBe('');
    });

    it('comes from the cache the second time, and has the same ID when it is built again', async () => {
      const before = idOf(name);
      expect(cacheHits(await image())).toEqual({ image: true });
      await image('--skip-nx-cache');
      expect(idOf(name)).toBe(before);
    });

    it('is built by plain docker build in a fresh clone', async () => {
      const tag = `${name}:plain`;
      const clone = workspace.path('clone');
      await workspace.run('git', ['clone', '-q', '.', clone]);
      // The classic builder, which reads no Dockerfile.dockerignore.
      docker('build', '-q', '-t', tag, '-f', workspace.path('clone', dockerfile), clone);
      expect(docker('run', '--rm', tag)).toBe('Hello from a library');
      docker('rmi', tag);
      await workspace.run('rm', ['-rf', clone]);
    });

    it('is built again after a change of the library or the Dockerfile, not of tests or of what is hidden', async () => {
      const greet = workspace.read('libs/greet/greet.go');
      workspace.write('libs/greet/greet.go', greet.replace('Hello', 'Good morning'));
      expect(cacheHits(await image())).toEqual({ image: false });
      expect(await workspace.nx(['run', `${name}:docker-run`])).toContain('Good morning from a library');
      workspace.write('libs/greet/greet.go', greet);
      workspace.write('libs/greet/greet_test.go', 'package greet\n');
      workspace.write('libs/greet/testdata/golden.txt', 'x\n');
      expect(cacheHits(await image())).toEqual({ image: true });

      const ignore = workspace.read(`${dockerfile}.dockerignore`);
      workspace.write(`${dockerfile}.dockerignore`, `${ignore}**/*.md\n`);
      expect(cacheHits(await image())).toEqual({ image: false });
      workspace.write('libs/greet/README.md', '# more\n');
      workspace.write('README.md', '# more\n');
      expect(cacheHits(await image())).toEqual({ image: true });
      workspace.write(`${dockerfile}.dockerignore`, ignore);
      workspace.write(dockerfile, `${workspace.read(dockerfile)}LABEL more=1\n`);
      expect(cacheHits(await image())).toEqual({ image: false });
    });

    it('fails with the line of the Dockerfile and the words of go, and keeps what was there', async () => {
      const before = [idOf(name), imageIdOf(name)];
      const greet = workspace.read('libs/greet/greet.go');
      workspace.write('libs/greet/greet.go', 'package greet\n\nconst Text = "Hello" + 1\n');
      const { exitCode, output } = await workspace.tryNx(['run', `${name}:docker-build`]);
      workspace.write('libs/greet/greet.go', greet);
      const line =
        workspace
          .read(dockerfile)
          .split('\n')
          .findIndex((text) => text.startsWith('RUN CGO')) + 1;
      expect(exitCode).not.toBe(0);
      expect(output).toContain(`${dockerfile}:${line}: RUN CGO_ENABLED=0`);
      expect(output).toMatch(/libs\/greet\/greet\.go:3:\d+: .*mismatched types/);
      expect(output).not.toMatch(/Successfully|: loaded|already there/);
      // The classic builder paints stderr red and goes on in the same line; neither is the step's own output.
      expect(output).not.toContain('\u001b[91m');
      expect(output.slice(output.indexOf(`${dockerfile}:${line}:`))).not.toContain('Removing intermediate container');
      expect([idOf(name), imageIdOf(name)]).toEqual(before);
    });
  });

  describe('in one module', () => {
    beforeAll(async () => {
      await reset();
      await workspace.nx(['g', 'slim-go:init', '--module=example.com/acme']);
    });

    it('shows each step of the build while it runs', async () => {
      const name = projectName('shown');
      await workspace.nx(['g', 'slim-go:app', `apps/${name}`, '--base=alpine']);
      const dockerfile = workspace.read(`apps/${name}/Dockerfile`);
      const gate =
        'RUN mkfifo /tmp/gate && echo "the step waits" && read word < /tmp/gate && echo "the step heard $word"';
      // Another step each time, for the engine has a cache of its own.
      const writeGate = () =>
        workspace.write(`apps/${name}/Dockerfile`, dockerfile.replace('\n', `\n${gate} && : ${randomUUID()}\n`));
      writeGate();
      provideBases(name);
      // The build ends only if its output got here while the step was waiting.
      const opens = (whatIsSeen: RegExp) => {
        let opened = false;
        return (so_far: string) => {
          if (opened || !whatIsSeen.test(so_far)) return;
          opened = true;
          // The line may come before the container.
          for (let attempt = 0; attempt < 100; attempt++) {
            const line = docker('ps', '--no-trunc', '--format', '{{.ID}} {{.Command}}').split('\n');
            const container = line.find((each) => each.includes('mkfifo'))?.split(' ')[0];
            const script = 'until [ -p /tmp/gate ]; do sleep 0.1; done; echo go-on > /tmp/gate';
            if (container === undefined) continue;
            docker('exec', container, 'sh', '-c', script);
            return;
          }
        };
      };
      const alone = await workspace.nx(['run', `${name}:image`, '--batch=false'], {
        onOutput: opens(/the step waits/),
      });
      expect(alone).toContain('the step heard go-on');
      writeGate();
      const args = ['run', `${name}:image`];
      const batch = await workspace.nx(args, { onOutput: opens(new RegExp(`${name}: Step \\d+/\\d+ : RUN mkfifo`)) });
      expect(batch.match(/the step heard go-on/g)).toHaveLength(1);
    });

    it('puts a prebuilt program on an alpine that no registry gives but the engine has', async () => {
      const name = projectName('alpine');
      await workspace.nx(['g', 'slim-go:app', `apps/${name}`, '--base=alpine']);
      provideBases(name);
      expect(await workspace.nx(['run', `${name}:docker-run`])).toContain('Hello, World!');
      expect(docker('run', '--rm', '--entrypoint', '/bin/sh', name, '-c', 'id -u')).toBe('65532');
      const before = idOf(name);
      await workspace.nx(['run', `${name}:image`, '--skip-nx-cache']);
      expect(idOf(name)).toBe(before);
      const { images } = JSON.parse(workspace.read(`apps/${name}/image.lock.json`));
      const [[reference, pin]] = Object.entries(images) as [[string, { imageId: string }]];
      expect(reference).toMatch(/^alpine:/);
      expect(pin.imageId).toBe(imageIdOf(reference));
    });

    it('builds a hand-written Dockerfile with mounts by BuildKit', async () => {
      const name = projectName('mounts');
      const golang = `golang:${/^go (\d+\.\d+)/m.exec(workspace.read('go.mod'))![1]}-alpine`;
      bases.provide(golang);
      workspace.write(
        `apps/${name}/main.go`,
        'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Println("mounted")\n}\n',
      );
      workspace.write(`apps/${name}/go.mod`, `module example.com/acme/${name}\n\ngo 1.21\n`);
      workspace.write(
        `apps/${name}/Dockerfile`,
        `FROM ${golang} AS build\nWORKDIR /src\nENV CGO_ENABLED=0\n` +
          'RUN --mount=type=bind,target=. --mount=type=cache,target=/go/pkg/mod \\\n' +
          "    go build -trimpath -ldflags='-s -w' -o /out/app .\n\n" +
          'FROM scratch\nCOPY --from=build --chmod=0555 /out/app /app\nENTRYPOINT ["/app"]\n',
      );
      workspace.write(`apps/${name}/.dockerignore`, 'dist\n');
      expect(await workspace.nx(['run', `${name}:docker-run`])).toContain('mounted');
      const before = idOf(name);
      await workspace.nx(['run', `${name}:image`, '--skip-nx-cache']);
      expect(idOf(name)).toBe(before);
      // What a mount shows is read without a COPY.
      workspace.write(`apps/${name}/main.go`, workspace.read(`apps/${name}/main.go`).replace('mounted', 'changed'));
      expect(await workspace.nx(['run', `${name}:docker-run`])).toContain('changed');
    });

    it('executes several stages of scratch without an engine, to the same ID', async () => {
      const name = projectName('stages');
      workspace.write(
        `apps/${name}/main.go`,
        'package main\n\nimport (\n\t"fmt"\n\t"os"\n)\n\nfunc main() {\n\ttext, err := os.ReadFile("/etc/app/greeting")\n\tfmt.Println(string(text), err)\n}\n',
      );
      workspace.write(`apps/${name}/conf/greeting`, 'Hello from a stage');
      workspace.write(
        `apps/${name}/Dockerfile`,
        'FROM scratch AS files\nWORKDIR /etc/app\nCOPY --chmod=0644 conf/ .\n\n' +
          'FROM scratch AS program\nARG TARGETPLATFORM\nARG NAME\nCOPY dist/$TARGETPLATFORM/$NAME /bin/app\n\n' +
          'FROM files AS base\nENV STAGE=base\n\n' +
          'FROM base\nCOPY --from=program /bin/app /app\nENTRYPOINT ["/app"]\n',
      );
      workspace.write(
        `apps/${name}/project.json`,
        JSON.stringify({ name, targets: { image: { options: { buildArgs: { NAME: name } } } } }),
      );
      const noEngine = { DOCKER_HOST: 'unix:///nonexistent/docker.sock' };
      await workspace.nx(['run', `${name}:image`], { env: noEngine });
      const before = idOf(name);
      await workspace.nx(['run', `${name}:image`, '--skip-nx-cache'], { env: noEngine });
      expect(idOf(name)).toBe(before);
      expect(await workspace.nx(['run', `${name}:docker-run`])).toContain('Hello from a stage <nil>');
      expect(imageIdOf(name)).toBe(before);
    });
  });
});

/** A project's images, tagged or not, with the steps that only they stand on. */
function removeImages(name: string): void {
  for (const filter of [`label=org.opencontainers.image.title=${name}`, `reference=${name}`]) {
    const images = docker('images', '--no-trunc', '-aq', '--filter', filter).split('\n');
    for (const image of new Set(images)) if (image !== '') docker('rmi', '-f', image);
  }
}
