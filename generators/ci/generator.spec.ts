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

const repository = join(__dirname, '..', '..');
/** node, with what the readers below want of a newer one than 20: the method `union`, and JSON without an attribute. */
const newer = encodeURIComponent(`
import { readFileSync } from 'node:fs';
import { register } from 'node:module';
Set.prototype.union ??= function (other) { return new Set([...this, ...other]) };
register('data:text/javascript,' + encodeURIComponent(\`
import { readFileSync } from 'node:fs';
export const load = (url, context, next) => url.endsWith('.json')
  ? { format: 'module', shortCircuit: true, source: 'export default ' + readFileSync(new URL(url), 'utf8') }
  : next(url, context);
\`));`);
const node = (cwd: string, ...args: string[]) =>
  spawnSync(process.execPath, [`--import=data:text/javascript,${newer}`, ...args], { cwd, encoding: 'utf8' });

/** What the provider's own reader finds wrong: GitHub's parser, GitLab's schema. Nothing where it is valid. */
const problems = {
  github: (text: string) => {
    const script = `
      import { convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow } from '@actions/workflow-parser';
      const file = { name: 'ci.yml', content: process.argv[1] };
      const { context, value } = parseWorkflow(file, new NoOperationTraceWriter());
      await convertWorkflowTemplate(context, value);
      console.log(context.errors.getErrors().join('\\n'));`;
    const { status, stdout, stderr } = node(repository, '--input-type=module', '--eval', script, text);
    return status === 0 ? stdout.trim() : stderr;
  },
  gitlab: (text: string) => {
    const { root } = workspaceOf('git@gitlab.com:acme/mono.git');
    writeFileSync(join(root, '.gitlab-ci.yml'), text);
    const reader = join(repository, 'node_modules', 'gitlab-ci-local', 'dist', 'index.js');
    const { status, stdout, stderr } = node(root, reader, '--list');
    return status === 0 && stdout.includes('affected') ? '' : stdout + stderr;
  },
};

describe('slim-go:ci', () => {
  it.each([
    [github, undefined, 'package-lock.json'],
    [github, 'quay.io/acme', 'pnpm-lock.yaml'],
    [github, undefined, 'yarn.lock'],
    [gitlab, undefined, 'package-lock.json'],
    [gitlab, 'quay.io/acme', 'pnpm-lock.yaml'],
  ] as const)('is what the provider takes: %j to %s with %s', async (options, registry, lockFile) => {
    const tree = workspace();
    writeFileSync(join(tree.root, lockFile), '{}');
    await generate(tree, { ...options, ...(registry === undefined ? {} : { registry }) });
    const text = tree.read(options.provider === 'github' ? '.github/workflows/ci.yml' : '.gitlab-ci.yml', 'utf8')!;
    expect(problems[options.provider](text)).toBe('');
    expect(problems[options.provider](text.replace(/^( *)(steps|script):$/m, '$1$2s:'))).toMatch(/stepss|script/);
  });

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
