import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fillTags } from './tags';

let folder: string;
let sha: string;
const git = (...args: string[]) =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], {
    cwd: folder,
    encoding: 'utf8',
  }).trim();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'slim-go-tags-'));
  git('init', '-q', '-b', 'feature/Über#x');
  git('commit', '-q', '--allow-empty', '-m', 'one');
  sha = git('rev-parse', 'HEAD');
});
afterEach(() => rmSync(folder, { recursive: true }));

const fill = (templates: string[], env: NodeJS.ProcessEnv = {}) =>
  fillTags(templates, { project: 'hello', folder, env });

it('takes commit, branch and environment', () => {
  expect(fill(['latest', 'sha-{shortSha}', '{sha}', '{branch}', 'b{env.RUN}-{shortSha}'], { RUN: '7' })).toEqual([
    'latest',
    `sha-${sha.slice(0, 7)}`,
    sha,
    'feature-ber-x',
    `b7-${sha.slice(0, 7)}`,
  ]);
});

it('asks the CI system for the branch of a commit that was checked out alone', () => {
  git('checkout', '-q', '--detach');
  expect(fill(['{branch}'], { GITHUB_REF_NAME: 'main' })).toEqual(['main']);
  expect(fill(['{branch}'], { CI_COMMIT_REF_NAME: 'dev' })).toEqual(['dev']);
  expect(() => fill(['{branch}'])).toThrow('The tag "{branch}" can\'t be made: {branch} has no value here.');
});

it.each([
  [[], []],
  [['v1.2.3'], ['1.2.3', '1.2', '1', 'v1.2.3']],
  [
    ['1.10.0', '1.9.0'],
    ['1.10.0', '1.10', '1', 'v1.10.0'],
  ],
  [
    ['other/v9.0.0', 'v1.2.3'],
    ['1.2.3', '1.2', '1', 'v1.2.3'],
  ],
  [
    ['hello/v2.0.1', 'v9.9.9'],
    ['2.0.1', '2.0', '2', 'v2.0.1'],
  ],
  [['v1.2.3-rc.1'], ['1.2.3-rc.1', 'v1.2.3-rc.1']],
  [['v1.2.3+build.5'], ['1.2.3-build.5', '1.2', '1', 'v1.2.3-build.5']],
  [['nightly'], []],
])('takes a version from the git tags %j', (tags, filled) => {
  for (const tag of tags) git('tag', tag);
  expect(fill(['{version}', '{major}.{minor}', '{major}', 'v{version}'])).toEqual(filled);
});

it('takes what a pattern matches of a git tag', () => {
  git('tag', 'release-2026-11');
  expect(fill(['{match:release-(\\d{4})}', '{match:\\d+$}', '{match:none}', '{gitTag}'])).toEqual([
    '2026',
    '11',
    'release-2026-11',
  ]);
  expect(() => fill(['{match:(}'])).toThrow(/can't be made: Invalid regular expression/);
});

it('names the tokens there are', () => {
  expect(() => fill(['x-{commit}'])).toThrow('The tag "x-{commit}" can\'t be made: there is no token {commit}.');
});
