import { copyFileSync, readdirSync } from 'node:fs';
import { parse } from 'yaml';
import { docker, engineHost, imageIdOf } from './support/engine';
import { describeWithRegistry, TestRegistry } from './support/registry';
import { Workspace } from './support/workspace';

jest.setTimeout(600_000);

/** The generated pipelines: what they run, in order, in a clone. */
describeWithRegistry('a generated pipeline', () => {
  const [changed, same] = ['slim-go-e2e-ci-changed', 'slim-go-e2e-ci-same'];
  let workspace: Workspace;
  let registry: TestRegistry;
  beforeAll(async () => {
    registry = await TestRegistry.start();
    workspace = await Workspace.create();
    for (const name of [changed, same]) await workspace.nx(['g', 'slim-go:app', `apps/${name}`]);
    await workspace.nx(['g', 'slim-go:lib', 'libs/greet']);
    for (const provider of ['github', 'gitlab']) {
      await workspace.nx(['g', 'slim-go:ci', provider, `--registry=${registry.domain}/acme`]);
    }
    await workspace.commit('pipeline');
    for (const file of ['main.go', 'main_test.go'].map((name) => `apps/${changed}/${name}`)) {
      workspace.write(file, workspace.read(file).replace('World', 'pipeline'));
    }
    await workspace.commit('change');
  });
  afterAll(() => {
    workspace?.remove();
    registry?.stop();
    for (const name of [changed, same]) {
      if (engineHost && imageIdOf(name)) docker('rmi', '-f', name);
    }
  });

  const commandsOf: Record<string, () => readonly string[]> = {
    github: () =>
      (parse(workspace.read('.github/workflows/ci.yml')).jobs.affected.steps as { run?: string }[]).flatMap(
        ({ run }) => run ?? [],
      ),
    gitlab: () => {
      const { before_script: before, script } = parse(workspace.read('.gitlab-ci.yml')).affected;
      // Go is here already.
      return [...before.slice(2), ...script];
    },
  };

  it.each(['github', 'gitlab'])('checks, builds and pushes what a change affects: %s', async (provider) => {
    const clone = workspace.path(`clone-${provider}`);
    await workspace.run('git', ['clone', '-q', workspace.root, clone]);
    for (const file of readdirSync(workspace.root)) {
      if (file.endsWith('.tgz')) copyFileSync(workspace.path(file), `${clone}/${file}`);
    }
    const head = (await workspace.run('git', ['rev-parse', 'HEAD'])).trim();
    const env = {
      CI: 'true',
      NX_BASE: (await workspace.run('git', ['rev-parse', 'HEAD~1'])).trim(),
      NX_HEAD: head,
      CI_COMMIT_BRANCH: 'main',
    };
    const outputs: string[] = [];
    for (const command of commandsOf[provider]!()) {
      outputs.push(await workspace.run('sh', ['-ec', `cd ${clone}\n${command}`], { env }));
    }
    const [checked = '', pushed = ''] = outputs.slice(-2);
    for (const target of ['lint', 'test', 'build', 'image', 'docker-build']) {
      expect(checked).toContain(`nx run ${changed}:${target}`);
    }
    expect(checked + pushed).not.toContain(same);
    expect(checked).not.toContain('greet:');
    expect(pushed).toContain(`${registry.domain}/acme/${changed}:sha-${head.slice(0, 7)}@sha256:`);
    expect(await registry.digestOf(`acme/${changed}`, 'latest')).toMatch(/^sha256:/);
    expect(await registry.digestOf(`acme/${same}`, 'latest')).toBeUndefined();
  });
});
