import { rmSync } from 'node:fs';
import { BaseImages } from './support/base-images';
import { cacheHits } from './support/cache-hits';
import { describeWithEngine, docker } from './support/engine';
import { TestRegistry } from './support/registry';
import { Workspace } from './support/workspace';

jest.setTimeout(600_000);

/** Base images through a registry, without an engine: it only makes them, and runs what came of them. */
describeWithEngine('base images from a registry', () => {
  const name = 'slim-go-e2e-bases';
  const app = `apps/${name}`;
  const noEngine = { DOCKER_HOST: 'unix:///nonexistent/docker.sock' };
  const bases = new BaseImages();
  let workspace: Workspace;
  let registry: TestRegistry;
  let base: string;

  /** Pushes an alpine of its own kind as the base's tag. */
  const publish = (greeting: string) => {
    bases.provide('alpine:3');
    const container = docker('create', 'alpine:3', 'sh', '-c', `echo ${greeting} > /etc/greeting`);
    docker('start', '-a', container);
    docker('commit', '--change', `ENV GREETING=${greeting}`, '--change', 'CMD ["/bin/sh"]', container, base);
    docker('rm', container);
    docker('push', base);
    docker('rmi', base);
  };
  const image = (...args: string[]) => workspace.nx(['run', `${name}:image`, ...args], { env: noEngine });
  const imageId = () => JSON.parse(workspace.read(`${app}/dist/image/image.json`)).platforms[0].imageId as string;
  const pin = () => JSON.parse(workspace.read(`${app}/image.lock.json`)).images[base].digest as string;

  beforeAll(async () => {
    registry = await TestRegistry.start();
    base = `${registry.domain}/acme/alpine:3`;
    publish('hello');
    workspace = await Workspace.create();
    await workspace.nx(['g', 'slim-go:app', app]);
    workspace.write(
      `${app}/Dockerfile`,
      `FROM ${base}\nARG TARGETPLATFORM\nWORKDIR /srv\nCOPY --chown=root dist/\${TARGETPLATFORM}/${name} /bin/app\n` +
        'ENV SAID="$GREETING from the base"\nLABEL suite=slim-go-e2e-bases\nENTRYPOINT ["/bin/app"]\n',
    );
    await workspace.commit('app');
  });
  afterAll(() => {
    workspace?.remove();
    registry?.stop();
    for (const id of new Set(docker('images', '-q', '--filter', 'label=suite=slim-go-e2e-bases').split('\n'))) {
      if (id !== '') docker('rmi', '-f', id);
    }
    bases.remove();
  });

  it('builds on one, pins it, and says what it did', async () => {
    const output = await image();
    expect(output).toContain(`image.lock.json: ${base} is pinned to ${pin()}; commit this file`);
    expect(output).toMatch(/linux\/\w+: pulled \S+ [kM]B/);
    expect(
      await registry.digestOf('acme/alpine', '3', { accept: 'application/vnd.docker.distribution.manifest.v2+json' }),
    ).toBe(pin());
    await workspace.nx(['run', `${name}:docker-build`]);
    const run = (command: string) => docker('run', '--rm', '--entrypoint', '/bin/sh', name, '-c', command);
    expect(run('cat /etc/greeting; echo "$SAID"; pwd; /bin/app')).toBe(
      'hello\nhello from the base\n/srv\nHello, World!',
    );
  });

  it('comes from the cache, and stays what it was when the tag moves', async () => {
    expect(cacheHits(await image())).toMatchObject({ image: true });
    const before = imageId();
    publish('moved');
    expect(cacheHits(await image())).toMatchObject({ image: true });
    await image('--skip-nx-cache');
    expect(imageId()).toBe(before);
  });

  it('follows the tag when the pin is moved', async () => {
    const [oldPin, before] = [pin(), imageId()];
    const output = await workspace.nx(['run', `${name}:update-base`], { env: noEngine });
    expect(pin()).not.toBe(oldPin);
    expect(output).toContain(`${base}  ${oldPin} -> ${pin()}`);
    expect(cacheHits(await image())).toMatchObject({ image: false });
    expect(imageId()).not.toBe(before);
    expect(await workspace.nx(['run', `${name}:update-base`], { env: noEngine })).toContain(`${pin()} (as before)`);
    await workspace.nx(['run', `${name}:docker-build`]);
    expect(docker('run', '--rm', '--entrypoint', '/bin/sh', name, '-c', 'cat /etc/greeting')).toBe('moved');
  });

  it('needs no registry for what it has, and names what it lacks', async () => {
    const before = imageId();
    const address = registry.domain;
    registry.stop();
    await image('--skip-nx-cache');
    expect(imageId()).toBe(before);
    rmSync(workspace.path('node_modules', '.slim-go'), { recursive: true });
    const { exitCode, output } = await workspace.tryNx(['run', `${name}:image`, '--skip-nx-cache'], { env: noEngine });
    expect(exitCode).not.toBe(0);
    expect(output).toContain(`${address}/acme/alpine:3: http://${address} can't be asked`);
    expect(output).not.toContain('at Object');
    expect(imageId()).toBe(before);
  });

  it("builds etcd's published Dockerfile unchanged, on a folder in OCI layout", async () => {
    // An image of ours is such a folder in a tar.
    const layout = workspace.path('bases', 'static');
    await workspace.run('mkdir', ['-p', layout]);
    await workspace.run('tar', ['-xf', `${app}/dist/image/image.tar`, '-C', layout]);
    const etcd = 'apps/etcd';
    await workspace.nx(['g', 'slim-go:app', etcd]);
    const reference =
      'gcr.io/distroless/static-debian12@sha256:20bc6c0bc4d625a22a8fde3e55f6515709b32055ef8fb9cfbddaa06d1760f838';
    // https://github.com/etcd-io/etcd/blob/v3.6.0/Dockerfile
    workspace.write(
      `${etcd}/Dockerfile`,
      `ARG ARCH=amd64\nFROM --platform=linux/\${ARCH} ${reference}\n\nADD etcd /usr/local/bin/\nADD etcdctl /usr/local/bin/\nADD etcdutl /usr/local/bin/\n\n` +
        'WORKDIR /var/etcd/\nWORKDIR /var/lib/etcd/\n\nEXPOSE 2379 2380\n\n# Define default command.\nCMD ["/usr/local/bin/etcd"]\n',
    );
    for (const program of ['etcd', 'etcdctl', 'etcdutl']) {
      await workspace.run('go', ['build', '-o', `${etcd}/${program}`, `./${etcd}`], { env: { CGO_ENABLED: '0' } });
    }
    workspace.write(`${etcd}/.dockerignore`, 'dist\n');
    const arch = (await workspace.run('go', ['env', 'GOARCH'])).trim();
    workspace.write(
      `${etcd}/project.json`,
      JSON.stringify({
        name: 'etcd',
        targets: {
          image: {
            options: {
              engine: 'embedded',
              reference: name,
              buildArgs: { ARCH: arch },
              buildContexts: { [reference]: 'oci-layout://bases/static:latest' },
            },
          },
        },
      }),
    );
    await workspace.nx(['run', 'etcd:image'], { env: noEngine });
    await workspace.nx(['run', 'etcd:docker-build']);
    expect(docker('run', '--rm', '--entrypoint', '/usr/local/bin/etcd', name)).toBe('Hello, World!');
    const inspect = (format: string) => docker('inspect', '--format', format, name);
    expect(inspect('{{.Config.WorkingDir}} {{json .Config.ExposedPorts}} {{json .Config.Cmd}}')).toBe(
      '/var/lib/etcd/ {"2379/tcp":{},"2380/tcp":{}} ["/usr/local/bin/etcd"]',
    );
    workspace.write('bases/static/more', 'x');
    expect(cacheHits(await workspace.nx(['run', 'etcd:image'], { env: noEngine }))).toMatchObject({ image: false });
  });
});
