import { execFileSync } from 'node:child_process';
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
    for (const image of [name, 'whoami']) if (engineHost && imageIdOf(image)) docker('rmi', '-f', imageIdOf(image)!);
  });

  const containers = (image: string) => docker('ps', '-aq', '--filter', `ancestor=${image}`);

  it('generates tests that pass and a target that is continuous', async () => {
    const [project] = JSON.parse(await workspace.nx(['show', 'project', name, '--json'])).targets
      ? [JSON.parse(await workspace.nx(['show', 'project', name, '--json']))]
      : [];
    expect(project.targets['docker-run'].continuous).toBe(true);
    expect(project.targets['docker-build'].cache).toBeFalsy();
    await workspace.run('go', ['vet', './...']);
    await workspace.run('go', ['test', './...']);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'serves until %s, shuts down gracefully and leaves no container',
    async (signal) => {
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
      const { output } = await done;
      expect(output).toMatch(/shut|stop/i);
      expect(containers(name)).toBe('');
    },
  );

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

  describe('a published program that slim-go did not scaffold', () => {
    const version = 'v1.11.0';

    beforeAll(async () => {
      const module = `github.com/traefik/whoami@${version}`;
      const { Dir } = JSON.parse(
        execFileSync('go', ['mod', 'download', '-json', module], { encoding: 'utf8', cwd: workspace.root }),
      );
      await workspace.run('cp', ['-r', Dir, workspace.path('whoami')]);
      await workspace.run('chmod', ['-R', 'u+w', workspace.path('whoami')]);
      workspace.write(
        'whoami/Dockerfile',
        'FROM scratch\nARG TARGETPLATFORM\nCOPY dist/${TARGETPLATFORM}/whoami /whoami\nEXPOSE 80\nENTRYPOINT ["/whoami"]\n',
      );
      workspace.write('whoami/.dockerignore', '*\n!dist/*\n');
    });

    it.each(['embedded', 'docker'])('is built by the %s engine, runs and answers over HTTP', async (engine) => {
      await workspace.nx(['run', 'whoami:image', `--engine=${engine}`]);
      await workspace.nx(['run', 'whoami:image', `--engine=${engine}`]);
      const port = await freePort();
      let child: Parameters<typeof signalGroup>[0] | undefined;
      const done = workspace.tryNx(
        ['run', 'whoami:docker-run', `--ports=127.0.0.1:${port}:80`, '--env.WHOAMI_NAME=gopher'],
        {
          onStart: (started) => {
            child = started;
          },
        },
      );
      const { status, text } = await ask(`http://127.0.0.1:${port}/`);
      signalGroup(child!, 'SIGINT');
      await done;
      expect(status).toBe(200);
      expect(text).toContain('Name: gopher');
      expect(containers('whoami')).toBe('');
    });
  });
});
