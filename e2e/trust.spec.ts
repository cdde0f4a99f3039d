import { readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { Workspace } from './support/workspace';

jest.setTimeout(600_000);

describe('verify-repro', () => {
  const name = 'slim-go-e2e-repro';
  const main = `apps/${name}/main.go`;
  let workspace: Workspace;
  beforeAll(async () => {
    workspace = await Workspace.create();
    await workspace.nx(['g', 'slim-go:app', `apps/${name}`]);
    await workspace.commit('app');
  });
  afterAll(() => workspace?.remove());
  const leftovers = () => readdirSync(tmpdir()).filter((entry) => entry.startsWith('slim-go-verify-'));

  it('builds again elsewhere, from what is not committed too, and finds the same', async () => {
    workspace.write(main, workspace.read(main).replace('World', 'again'));
    const before = leftovers();
    const output = await workspace.nx(['run', `${name}:verify-repro`]);
    const [{ platform, manifestDigest }] = JSON.parse(workspace.read(`apps/${name}/dist/image/image.json`)).platforms;
    expect(output).toContain(`${platform}  ${manifestDigest}`);
    expect(output).toContain('the same twice, ');
    expect(leftovers()).toEqual(before);
    expect(await workspace.run('git', ['worktree', 'list'])).toMatch(/^\S+ +\w+ \[main\]\n$/);
  });

  it('stamps the same commit in a release', async () => {
    await workspace.commit('again');
    expect(await workspace.nx(['run', `${name}:verify-repro:release`])).toContain('the same twice, ');
  });

  it('names the file that differs', async () => {
    // A target that tells the path it runs in.
    workspace.write(
      `apps/${name}/project.json`,
      JSON.stringify({
        name,
        targets: {
          where: { command: 'mkdir -p dist && pwd > dist/where.txt', options: { cwd: `apps/${name}` } },
          image: { dependsOn: ['where', 'build'] },
        },
      }),
    );
    const dockerfile = workspace.read(`apps/${name}/Dockerfile`);
    workspace.write(`apps/${name}/Dockerfile`, `${dockerfile}COPY dist/where.txt /etc/where\n`);
    const ignore = `apps/${name}/.dockerignore`;
    workspace.write(ignore, `${workspace.read(ignore)}!dist/where.txt\n`);
    const { exitCode, output } = await workspace.tryNx(['run', `${name}:verify-repro`]);
    expect(exitCode).not.toBe(0);
    expect(output).toContain('The second build gave another image.');
    expect(output).toMatch(/\/etc\/where: \d+ bytes \w{12} 644 0:0, then \d+ bytes/);
    workspace.write(`apps/${name}/Dockerfile`, dockerfile);
  });

  it('says what the second build lacks', async () => {
    rmSync(workspace.path(`apps/${name}/project.json`));
    workspace.write('.gitignore', `${workspace.read('.gitignore')}secret.go\n`);
    workspace.write(`apps/${name}/secret.go`, 'package main\n\nconst secret = "x"\n');
    workspace.write(main, workspace.read(main).replace('func main() {', 'func main() {\n\tprintln(secret)'));
    const { exitCode, output } = await workspace.tryNx(['run', `${name}:verify-repro`]);
    expect(exitCode).not.toBe(0);
    expect(output).toContain('The second build failed.');
    expect(output).toContain('undefined: secret');
  });
});
