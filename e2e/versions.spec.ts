import { cacheHits } from './support/cache-hits';
import { describeWithEngine, docker, engineHost, imageIdOf } from './support/engine';
import { Workspace } from './support/workspace';

jest.setTimeout(300_000);

// Every other spec has the newest Nx.
describe.each(['22', '23'])('with Nx %s', (version) => {
  const name = `slim-go-e2e-nx${version}`;
  let workspace: Workspace;

  beforeAll(async () => {
    workspace = await Workspace.create(version);
  });
  afterAll(() => {
    workspace?.remove();
    if (engineHost && imageIdOf(name)) docker('rmi', '-f', imageIdOf(name)!);
  });

  it('init and app are generated', async () => {
    expect(JSON.parse(workspace.read('node_modules/nx/package.json')).version).toMatch(new RegExp(`^${version}\\.`));
    await workspace.nx(['g', 'slim-go:init']);
    expect(JSON.parse(workspace.read('nx.json')).plugins).toEqual(['slim-go']);
    await workspace.nx(['g', 'slim-go:app', `apps/${name}`]);
    const { targets } = JSON.parse(await workspace.nx(['show', 'project', name, '--json']));
    expect(Object.keys(targets)).toEqual(
      expect.arrayContaining(['build', 'test', 'lint', 'image', 'docker-build', 'docker-run']),
    );
  });

  it('the targets are described, and the command that their metadata names shows their options', async () => {
    const { targets } = JSON.parse(await workspace.nx(['show', 'project', name, '--json']));
    const commands = Object.values<{ metadata?: { help?: { command: string } } }>(targets).map(
      ({ metadata }) => metadata?.help?.command,
    );
    expect(commands).not.toContain(undefined);
    const help = await workspace.nx(targets.build.metadata.help.command.split(' ').slice(2));
    expect(help).toContain('--buildTags');
  });

  it('a library is imported, whose change is one of the program', async () => {
    await workspace.nx(['g', 'slim-go:lib', 'libs/greet']);
    const main = workspace.read(`apps/${name}/main.go`);
    const module = /^module (\S+)$/m.exec(workspace.read('go.mod'))![1];
    workspace.write(
      `apps/${name}/main.go`,
      main
        .replace('import (', `import (\n\t"${module}/libs/greet"`)
        .replace('"Hello, World!\\n"', 'greet.Greeting("World")+"\\n"'),
    );
    await workspace.run('gofmt', ['-w', `apps/${name}/main.go`]);
    expect(cacheHits(await workspace.nx(['run', `${name}:build`]))).toEqual({ build: false });
    expect(cacheHits(await workspace.nx(['run', `${name}:build`]))).toEqual({ build: true });
    const library = workspace.read('libs/greet/greet.go');
    workspace.write('libs/greet/greet.go', library.replace('"Hello, "', '"Hi, "'));
    expect(cacheHits(await workspace.nx(['run', `${name}:build`]))).toEqual({ build: false });
    workspace.write('libs/greet/greet.go', library);
    workspace.write(`apps/${name}/main.go`, main);
  });

  it('program, test and lint pass, and come from the cache the second time', async () => {
    const all = ['run-many', '-t', 'build,test,lint', '-p', name];
    expect(cacheHits(await workspace.nx(all))).toEqual({ build: false, test: false, lint: false });
    expect(cacheHits(await workspace.nx(all))).toEqual({ build: true, test: true, lint: true });
    const test = `apps/${name}/main_test.go`;
    const text = workspace.read(test);
    workspace.write(
      test,
      text.replace('func TestRun(', 'func TestBroken(t *testing.T) { t.Fatal("broken") }\n\nfunc TestRun('),
    );
    for (let time = 0; time < 2; time++) {
      const { exitCode, output } = await workspace.tryNx(['test', name]);
      expect(exitCode).not.toBe(0);
      expect(output).toContain('TestBroken');
    }
    workspace.write(test, text);
  });

  it('the image is built, and comes from the cache the second time', async () => {
    expect(cacheHits(await workspace.nx(['run', `${name}:image`]))).toEqual({ build: true, image: false });
    const record = workspace.read(`apps/${name}/dist/image/image.json`);
    await workspace.run('rm', ['-rf', workspace.path(`apps/${name}/dist`)]);
    expect(cacheHits(await workspace.nx(['run', `${name}:image`]))).toEqual({ build: true, image: true });
    expect(workspace.read(`apps/${name}/dist/image/image.json`)).toBe(record);
  });

  it('the image is built again after a change, and affected finds that', async () => {
    await workspace.commit('app');
    const main = workspace.read(`apps/${name}/main.go`);
    workspace.write(`apps/${name}/main.go`, main.replace('Hello, World!', 'Hello, again!'));
    expect(cacheHits(await workspace.nx(['affected', '-t', 'image', '--base=HEAD']))).toEqual({
      build: false,
      image: false,
    });
    workspace.write(`apps/${name}/main.go`, main);
    expect(cacheHits(await workspace.nx(['run', `${name}:image`]))).toEqual({ build: true, image: true });
  });

  describeWithEngine('in a container engine', () => {
    it('the image is loaded and runs', async () => {
      expect(await workspace.nx(['run', `${name}:docker-build`])).toContain(`${name}:latest: loaded`);
      const run = await workspace.nx(['run', `${name}:docker-run`]);
      expect(run).toContain('Hello, World!');
      expect(cacheHits(run)).toEqual({ build: true, image: true, 'docker-run': false });
    });
  });
});
