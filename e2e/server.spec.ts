import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describeWithEngine, docker, engineHost, imageIdOf } from './support/engine';
import { type CommandResult, signalGroup, Workspace } from './support/workspace';

jest.setTimeout(300_000);

const name = 'slim-go-e2e-server';

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Asks until an answer comes; what a person would do with the browser's reload button. */
async function ask(url: string): Promise<{ status: number; text: string }> {
  for (let attempt = 0; ; attempt++) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      if (attempt > 300) throw error;
      await delay(100);
    }
  }
}

describeWithEngine('servers in a container engine', () => {
  let workspace: Workspace;

  beforeAll(async () => {
    workspace = await Workspace.create();
    await workspace.nx(['g', 'slim-go:app', name, '--template=http', '--port=8080']);
  });
  afterAll(() => {
    workspace?.remove();
    const left = docker('ps', '-aq', '--filter', `ancestor=${name}`, '--filter', 'ancestor=caddy');
    if (left) docker('rm', '-f', ...left.split('\n'));
    for (const image of [name, 'caddy']) if (engineHost && imageIdOf(image)) docker('rmi', '-f', imageIdOf(image)!);
  });

  const containers = (image: string) => docker('ps', '-aq', '--filter', `ancestor=${image}`);
  /** Nx itself does not wait for a program that takes its time to shut down. */
  const gone = async (image: string) => {
    for (let attempt = 0; containers(image) !== '' && attempt < 100; attempt++) await delay(100);
    expect(containers(image)).toBe('');
  };

  it('generates tests that pass and a target that is continuous', async () => {
    const { targets } = JSON.parse(await workspace.nx(['show', 'project', name, '--json']));
    expect(targets['docker-run'].continuous).toBe(true);
    expect(targets['docker-build'].cache).toBeFalsy();
    await workspace.run('go', ['vet', './...']);
    await workspace.run('go', ['test', './...']);
  });

  it('warns of what a program would miss in its image, from the cache as well, and not of its own probe', async () => {
    const image = () => workspace.nx(['run', `${name}:image`]);
    expect(await image()).not.toContain('warning:');
    const source = `${name}/zone.go`;
    workspace.write(
      source,
      'package main\n\nimport "time"\n\nfunc init() { println(time.LoadLocation("Europe/Berlin")) }\n',
    );
    const warning = `warning: ${name} (time-zones): `;
    expect(await image()).toContain(warning);
    const replayed = await image();
    expect(replayed).toContain('[local cache]');
    expect(replayed).toContain(warning);
    rmSync(workspace.path(source));
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('serves until %s and leaves no container', async (signal) => {
    const port = await freePort();
    let child: Parameters<typeof signalGroup>[0] | undefined;
    const done: Promise<CommandResult> = workspace.tryNx(
      ['run', `${name}:docker-run`, `--ports=127.0.0.1:${port}:8080`],
      {
        onStart: (started) => {
          child = started;
        },
      },
    );
    expect((await ask(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
    signalGroup(child!, signal);
    await done;
    await gone(name);
  });

  it('reports itself healthy by its own probe', async () => {
    await workspace.nx(['run', `${name}:docker-run`, '--detach', `--name=${name}-health`]);
    try {
      const health = () => docker('inspect', '--format', '{{.State.Health.Status}}', `${name}-health`);
      for (let attempt = 0; health() !== 'healthy' && attempt < 400; attempt++) await delay(100);
      expect(health()).toBe('healthy');
    } finally {
      docker('rm', '-f', `${name}-health`);
    }
  });

  it('says which port is in use, and leaves no container', async () => {
    const port = await freePort();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    const { exitCode, output } = await workspace.tryNx(['run', `${name}:docker-run`, `--ports=127.0.0.1:${port}:8080`]);
    server.close();
    expect(exitCode).not.toBe(0);
    expect(output).toMatch(new RegExp(`${port}.* in use`));
    expect(containers(name)).toBe('');
  });

  // https://github.com/caddyserver/caddy: over a hundred third-party modules through the Go module proxy.
  describe('a published program that slim-go did not scaffold', () => {
    beforeAll(async () => {
      const args = ['mod', 'download', '-json', 'github.com/caddyserver/caddy/v2@v2.9.1'];
      const { Dir } = JSON.parse(execFileSync('go', args, { encoding: 'utf8', cwd: workspace.root }));
      await workspace.run('cp', ['-r', Dir, workspace.path('caddy')]);
      await workspace.run('chmod', ['-R', 'u+w', workspace.path('caddy')]);
      workspace.write(
        'caddy/cmd/caddy/Dockerfile',
        'FROM scratch\nARG TARGETPLATFORM\nCOPY dist/${TARGETPLATFORM}/caddy /caddy\nEXPOSE 80\nENTRYPOINT ["/caddy"]\n' +
          'CMD ["respond", "--listen", ":80", "Hello from caddy"]\n',
      );
    });

    it.each(['embedded', 'docker'])(
      'is built by the %s engine, runs and answers over HTTP',
      async (engine) => {
        const image = await workspace.nx(['run', 'caddy:image', `--engine=${engine}`]);
        expect(image).toContain('caddy:latest');
        const port = await freePort();
        const id = JSON.parse(workspace.read('caddy/cmd/caddy/dist/image/image.json')).platforms[0].imageId;
        const archive = workspace.path('caddy/cmd/caddy/dist/image/image.tar');
        docker('load', '-q', '-i', archive);
        expect(imageIdOf('caddy')).toBe(id);
        const container = docker('run', '-d', '--rm', '-p', `127.0.0.1:${port}:80`, 'caddy:latest');
        try {
          expect(await ask(`http://127.0.0.1:${port}/`)).toEqual({ status: 200, text: 'Hello from caddy' });
        } finally {
          docker('rm', '-f', container);
        }
      },
      900_000,
    );

    it('runs by its own docker-run target', async () => {
      const port = await freePort();
      let child: Parameters<typeof signalGroup>[0] | undefined;
      const done = workspace.tryNx(
        ['run', 'caddy:docker-run', '--', `--ports=127.0.0.1:${port}:80`, 'respond', '--listen', ':80', 'From here'],
        {
          onStart: (started) => {
            child = started;
          },
        },
      );
      expect((await ask(`http://127.0.0.1:${port}/`)).text).toBe('From here');
      signalGroup(child!, 'SIGINT');
      await done;
      await gone('caddy');
    });
  });
});
