import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readNxJson, type Tree, updateNxJson } from '@nx/devkit';
import { parse } from 'yaml';
import { workspace } from '../workspace.testdata';
import ci from './generator';

function workspaceOf(remote?: string): Tree {
  const tree = workspace();
  writeFileSync(join(tree.root, 'package-lock.json'), '{}');
  if (remote !== undefined) {
    spawnSync('git', ['init', '-q'], { cwd: tree.root });
    spawnSync('git', ['remote', 'add', 'origin', remote], { cwd: tree.root });
  }
  return tree;
}

const generate = (tree: Tree, options: Parameters<typeof ci>[1]) => ci(tree, options);
const github = { provider: 'github', skipFormat: true } as const;
const gitlab = { provider: 'gitlab', skipFormat: true } as const;
interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly if?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}
const stepsOf = (tree: Tree): readonly Step[] =>
  parse(tree.read('.github/workflows/ci.yml', 'utf8')!).jobs.affected.steps;

describe('slim-go:ci', () => {
  it('writes a workflow for GitHub, and where images go to', async () => {
    const tree = workspaceOf('git@github.com:Acme/Mono.git');
    await generate(tree, github);
    const commands = stepsOf(tree).flatMap(({ run }) => (run === undefined ? [] : [run]));
    expect(commands).toEqual([
      expect.stringMatching(/^npm ci/),
      'npx nx affected -t lint test docker-build',
      'npx nx affected -t docker-push --output-style=static',
    ]);
    expect(stepsOf(tree).at(-1)!.if).toBe("github.event_name == 'push'");
    expect(stepsOf(tree).find(({ uses }) => uses?.startsWith('docker/login'))?.with).toMatchObject({
      registry: 'ghcr.io',
    });
    expect(readNxJson(tree)!.targetDefaults).toMatchObject({
      'docker-push': { options: { repository: 'ghcr.io/acme/mono/{projectName}' } },
    });
  });

  it('writes a pipeline for GitLab', async () => {
    const tree = workspaceOf('https://gitlab.com/acme/group/mono.git');
    await generate(tree, { ...gitlab, mainBranch: 'trunk' });
    const { affected, workflow } = parse(tree.read('.gitlab-ci.yml', 'utf8')!);
    expect(affected.script[0]).toBe('npx nx affected -t lint test docker-build');
    expect(affected.script[1]).toMatch(/= "trunk".*\n {2}npx nx affected -t docker-push --output-style=static\nfi/s);
    expect(workflow.rules[1].if).toContain('"trunk"');
    expect(tree.read('.gitignore', 'utf8')!.split('\n')).toContain('.go');
    expect(readNxJson(tree)!.targetDefaults).toMatchObject({
      'docker-push': { options: { repository: 'registry.gitlab.com/acme/group/mono/{projectName}' } },
    });
  });

  it.each([github, gitlab])(
    'changes nothing the second time, and nothing of somebody else: $provider',
    async (options) => {
      const tree = workspaceOf('git@github.com:acme/mono.git');
      await generate(tree, options);
      const path = options.provider === 'github' ? '.github/workflows/ci.yml' : '.gitlab-ci.yml';
      const text = tree.read(path, 'utf8');
      await generate(tree, options);
      expect(tree.read(path, 'utf8')).toBe(text);
      tree.write(path, 'mine: true\n');
      await expect(generate(tree, options)).rejects.toThrow(`There is a ${path} already`);
    },
  );

  it('keeps a repository that nx.json has, and takes another registry', async () => {
    const tree = workspaceOf('git@github.com:acme/mono.git');
    const targetDefaults = { 'docker-push': { options: { repository: 'quay.io/mine' } } };
    updateNxJson(tree, { ...readNxJson(tree), targetDefaults });
    await generate(tree, { ...github, registry: 'quay.io/acme/' });
    expect(readNxJson(tree)!.targetDefaults).toEqual(targetDefaults);
    expect(stepsOf(tree).some(({ uses }) => uses?.startsWith('docker/login'))).toBe(false);
    await expect(generate(workspaceOf(), { ...github, registry: 'Quay.io/ACME' })).rejects.toThrow(
      /not a valid image reference/,
    );
  });
});
