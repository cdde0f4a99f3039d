import { rmSync } from 'node:fs';
import { docker, engineHost } from './support/engine';
import { describeWithRegistry, TestProxy, TestRegistry } from './support/registry';
import { Workspace } from './support/workspace';

jest.setTimeout(300_000);

describeWithRegistry('a push from a fresh workspace', () => {
  const name = 'slim-go-e2e-push';
  const noEngine = { DOCKER_HOST: 'unix:///nonexistent/docker.sock' };
  let workspace: Workspace;
  let registry: TestRegistry;
  let proxy: TestProxy;
  let repository: string;

  beforeAll(async () => {
    registry = await TestRegistry.start();
    proxy = new TestProxy(registry.domain);
    repository = `${await proxy.start()}/acme/hello`;
    workspace = await Workspace.create();
    await workspace.nx(['g', 'slim-go:app', `apps/${name}`]);
    await workspace.commit('app');
  });
  afterAll(() => {
    workspace?.remove();
    proxy?.stop();
    registry?.stop();
  });

  const push = (...args: string[]) => workspace.nx(['run', `${name}:docker-push`, ...args], { env: noEngine });

  it('builds what is needed and sends it, without an engine', async () => {
    const output = await push(`--repository=${repository}`, '--tags=sha-{shortSha}', '--tags={branch}');
    const digest = await registry.digestOf('acme/hello', 'latest');
    const sha = (await workspace.run('git', ['rev-parse', '--short=7', 'HEAD'])).trim();
    const branch = (await workspace.run('git', ['branch', '--show-current'])).trim();
    for (const tag of ['latest', `sha-${sha}`, branch]) {
      expect(output).toContain(`${repository}:${tag}@${digest}`);
      expect(await registry.digestOf('acme/hello', tag)).toBe(digest);
    }
    expect(output).toMatch(/pushed \S+ [kM]B, /);
    const { references } = JSON.parse(workspace.read(`apps/${name}/dist/image/push.json`));
    expect(references).toContain(`${repository}:latest@${digest}`);
  });

  it('asks one question for an unchanged image, and sends the same bytes again after a clean build', async () => {
    proxy.seen.length = 0;
    expect(await push(`--repository=${repository}`)).toContain('already there');
    expect(proxy.seen).toEqual(['HEAD /v2/acme/hello/manifests/latest']);
    const digest = await registry.digestOf('acme/hello', 'latest');
    rmSync(workspace.path(`apps/${name}/dist`), { recursive: true });
    proxy.seen.length = 0;
    await push(`--repository=${repository}`, '--skip-nx-cache');
    expect(proxy.seen.filter((line) => line.includes('/blobs/uploads/'))).toEqual([]);
    expect(await registry.digestOf('acme/hello', 'latest')).toBe(digest);
  });

  it('attaches what the image is made of and where it came from, once', async () => {
    const output = await push(`--repository=${repository}`, '--attest');
    expect(output).toMatch(/pushed \S+ k?B/);
    const digest = await registry.digestOf('acme/hello', 'latest');
    const get = async (path: string) =>
      (await fetch(`http://${registry.domain}/v2/acme/hello/${path}`, {
        headers: { accept: 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json' },
      }).then((answer) => answer.json())) as Record<string, never>;
    const { manifests } = (await get(`manifests/${digest!.replace(':', '-')}`)) as unknown as {
      manifests: { artifactType: string; digest: string }[];
    };
    const documents = new Map<string, Record<string, unknown>>();
    for (const { artifactType, digest: manifest } of manifests) {
      const { layers } = (await get(`manifests/${manifest}`)) as unknown as { layers: [{ digest: string }] };
      documents.set(artifactType, await get(`blobs/${layers[0].digest}`));
    }
    expect([...documents.keys()]).toEqual([
      'application/vnd.cyclonedx+json',
      'application/spdx+json',
      'application/vnd.in-toto+json',
    ]);
    const arch = (await workspace.run('go', ['env', 'GOARCH'])).trim();
    const said = await workspace.run('go', ['version', '-m', `apps/${name}/dist/linux/${arch}/${name}`]);
    const bom = documents.get('application/vnd.cyclonedx+json') as { components: { name: string; version: string }[] };
    expect(bom.components.map((one) => `${one.name} ${one.version}`)).toEqual([
      `${/\tmod\t(\S+)/.exec(said)![1]} (devel)`,
      `stdlib ${/: go(\S+)/.exec(said)![1]}`,
    ]);
    const commit = (await workspace.run('git', ['rev-parse', 'HEAD'])).trim();
    expect(documents.get('application/vnd.in-toto+json')).toMatchObject({
      subject: [{ name: repository, digest: { sha256: digest!.slice(7) } }],
      predicate: { buildDefinition: { resolvedDependencies: [{ digest: { gitCommit: commit } }] } },
    });
    proxy.seen.length = 0;
    expect(await push(`--repository=${repository}`, '--attest')).toContain('already there');
    expect(proxy.seen).toEqual(['HEAD /v2/acme/hello/manifests/latest']);
  });

  it('runs where it is pulled', async () => {
    if (!engineHost) return;
    // The engine takes a registry on loopback without TLS.
    expect(docker('run', '--rm', '--pull=always', `${registry.domain}/acme/hello`)).toBe('Hello, World!');
    docker('rmi', '-f', `${registry.domain}/acme/hello`);
  });

  it('says what would be pushed, and asks nobody', async () => {
    proxy.seen.length = 0;
    expect(await push(`--repository=${repository}`, '--dryRun')).toContain(`${repository}:latest: would be pushed`);
    expect(proxy.seen).toEqual([]);
  });

  it('speaks TLS where the registry does, with the credentials that CI gives', async () => {
    // `htpasswd -nbB`
    const htpasswd = 'käthe+1:$2y$05$DT3oF4KgxDS.z..oMJEbqu2cVC4vC0EidoCyi/HXVW84ekDDpmjpW\n';
    const secure = await TestRegistry.start({ htpasswd, tls: true });
    try {
      const run = (env: Record<string, string>) =>
        workspace.tryNx(['run', `${name}:docker-push`, `--repository=${secure.domain}/acme/hello`], {
          env: { ...noEngine, ...env },
        });
      const untrusted = await run({});
      expect(untrusted.exitCode).not.toBe(0);
      expect(untrusted.output).toMatch(/self-signed certificate[\s\S]*NODE_EXTRA_CA_CERTS/);
      const trusted = { NODE_EXTRA_CA_CERTS: secure.certificate };
      expect((await run(trusted)).output).toContain(`docker login ${secure.domain}`);
      const auth = Buffer.from('käthe+1:p=ä/ß+%20:"x').toString('base64');
      const DOCKER_AUTH_CONFIG = JSON.stringify({ auths: { [secure.domain]: { auth } } });
      const pushed = await run({ ...trusted, DOCKER_AUTH_CONFIG });
      expect(pushed.output).toMatch(/hello:latest@sha256:[0-9a-f]{64}[\s\S]*pushed /);
      expect(pushed.output).not.toContain(auth);
    } finally {
      secure.stop();
    }
  });

  it.each([
    ['no registry is named', [], /docker\.io\/library\/\S+:latest is nobody's to push to[\s\S]*Set "repository"/],
    ['a token has no value', ['--tags={env.NO_SUCH_THING}'], /\{env\.NO_SUCH_THING\} has no value here/],
    ['a token is unknown', ['--tags={sha256}'], /there is no token \{sha256\}[\s\S]*The tokens are \{branch\}/],
    ['nobody answers', ['--repository=127.0.0.1:1/acme/hello'], /ECONNREFUSED[\s\S]*Is the registry there/],
  ])('says what to do where %s', async (_what, args, message) => {
    const { exitCode, output } = await workspace.tryNx(['run', `${name}:docker-push`, ...args], { env: noEngine });
    expect(exitCode).not.toBe(0);
    expect(output).toMatch(message);
    expect(output).not.toMatch(/^\s+at /m);
  });
});
