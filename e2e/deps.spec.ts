/** Third-party versions, with published modules through the Go module proxy. */
import { cacheHits } from './support/cache-hits';
import { Workspace } from './support/workspace';

jest.setTimeout(300_000);

describe('a workspace with a go.deps.json', () => {
  let workspace: Workspace;
  const apps = ['bare', 'quote', 'uuid'] as const;
  const imports = { bare: 'fmt', quote: 'rsc.io/quote', uuid: 'github.com/google/uuid' };

  const go = (...args: string[]) => workspace.run('go', args);
  const affected = async () => {
    const output = await workspace.nx(['affected', '-t', 'build', '--base=HEAD~1', '--outputStyle=static']);
    return apps.filter((name) => output.includes(`nx run ${name}:build`));
  };
  const hits = async () => {
    const output = await workspace.nx(['run-many', '-t', 'build', '--outputStyle=static']);
    return apps.filter((name) => new RegExp(`nx run ${name}:build\\s+\\[.*cache`).test(output));
  };

  beforeAll(async () => {
    workspace = await Workspace.create();
    await workspace.nx(['g', 'slim-go:init', '--deps']);
    for (const name of apps) {
      await workspace.nx(['g', 'slim-go:app', `apps/${name}`]);
      workspace.write(`apps/${name}/main.go`, `package main\n\nimport _ "${imports[name]}"\n\nfunc main() {}\n`);
    }
    await go('get', 'rsc.io/quote@v1.5.1', 'github.com/google/uuid@v1.5.0');
    await go('mod', 'tidy');
    await workspace.nx(['sync']);
    await workspace.commit('start');
    await workspace.nx(['run-many', '-t', 'build']);
  });
  afterAll(() => workspace?.remove());

  it('shows the modules that the programs use', async () => {
    // `nx graph --file` leaves third-party nodes out.
    const script = `require('@nx/devkit').createProjectGraphAsync().then((graph) => console.log('graph' + JSON.stringify(graph)))`;
    const output = await workspace.run(process.execPath, ['-e', script]);
    const graph = JSON.parse(output.slice(output.indexOf('graph{') + 'graph'.length));
    expect(graph.externalNodes['go:rsc.io/quote']).toEqual({
      type: 'go',
      name: 'go:rsc.io/quote',
      data: { packageName: 'rsc.io/quote', version: 'v1.5.1' },
    });
    const targets = (name: string) => graph.dependencies[name].map(({ target }: { target: string }) => target);
    expect(targets('uuid')).toEqual(['go:github.com/google/uuid']);
    expect(targets('bare')).toEqual([]);
  });

  it('takes every program for affected while the file is not true, and asks for nx sync', async () => {
    await go('get', 'github.com/google/uuid@v1.6.0');
    await workspace.commit('forgotten');
    expect(await affected()).toEqual([...apps]);
    const { exitCode, output } = await workspace.tryNx(['sync:check']);
    expect(exitCode).not.toBe(0);
    expect(output).toContain('go.deps.json: the third-party packages have changed');
  });

  it('then takes only the programs that can reach the module', async () => {
    await workspace.nx(['sync']);
    await workspace.run('git', ['add', '-A']);
    await workspace.run('git', [
      '-c',
      'user.name=t',
      '-c',
      'user.email=t@example.com',
      'commit',
      '-q',
      '--amend',
      '-m',
      'uuid',
    ]);
    expect((await workspace.tryNx(['sync:check'])).exitCode).toBe(0);
    expect(await affected()).toEqual(['uuid']);
    // `affected` has built uuid; the others were never built anew.
    expect(await hits()).toEqual([...apps]);

    // Reached through rsc.io/quote and rsc.io/sampler.
    await go('get', 'golang.org/x/text@v0.14.0');
    await go('mod', 'tidy');
    await workspace.nx(['sync']);
    await workspace.commit('text');
    expect(await affected()).toEqual(['quote']);
  });

  it('takes all for another Go version, and none for a comment', async () => {
    workspace.write('go.mod', `// A comment.\n${workspace.read('go.mod')}`);
    await workspace.nx(['sync']);
    await workspace.commit('comment');
    expect(await affected()).toEqual([]);
    const version = /^go (1\.\d+)\.\d+/m.exec(workspace.read('go.mod'))![1]!;
    workspace.write('go.mod', workspace.read('go.mod').replace(/^go .*/m, `go ${version}.1`));
    await workspace.nx(['sync']);
    await workspace.commit('go');
    expect(await affected()).toEqual([...apps]);
    expect(cacheHits(await workspace.nx(['run', 'bare:build']))).toEqual({ build: true });
  });
});
