import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { releaseOf } from './release';

let folder: string;
const git = (...args: string[]) =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, GIT_COMMITTER_DATE: '2026-11-25T10:00:00+02:00' },
  }).trim();
const commit = () => git('commit', '-q', '--allow-empty', '-m', 'one');
const release = (env: NodeJS.ProcessEnv = {}) => releaseOf({ project: 'hello', folder, env });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'slim-go-release-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

it('is a commit, its short name where there is no tag, and its date', () => {
  expect(release()).toBeUndefined();
  git('init', '-q');
  expect(release()).toBeUndefined();
  commit();
  const sha = git('rev-parse', 'HEAD');
  expect(release()).toEqual({ version: sha.slice(0, 7), commit: sha, date: '2026-11-25T08:00:00Z' });
});

it.each([
  [['v1.2.3'], '1.2.3'],
  [['v1.2.3', 'hello/v0.9.0', 'other/v7.0.0'], '0.9.0'],
  [['other/v7.0.0'], undefined],
])('takes its version from the tags %j, here and in the commits that follow', (tags, version) => {
  git('init', '-q');
  commit();
  for (const tag of tags) git('tag', tag);
  expect(release()?.version).toBe(version ?? git('rev-parse', 'HEAD').slice(0, 7));
  commit();
  const short = git('rev-parse', 'HEAD').slice(0, 7);
  expect(release()?.version).toBe(version === undefined ? short : `${version}-1-g${short}`);
});

it('tells that the sources are not those of the commit', () => {
  git('init', '-q');
  writeFileSync(join(folder, 'a'), 'a');
  git('add', 'a');
  commit();
  writeFileSync(join(folder, 'a'), 'b');
  expect(release()?.version).toMatch(/^[0-9a-f]{7}-dirty$/);
  git('tag', 'v1.0.0');
  expect(release()?.version).toBe('1.0.0-dirty');
});

it('has the date of SOURCE_DATE_EPOCH', () => {
  git('init', '-q');
  commit();
  expect(release({ SOURCE_DATE_EPOCH: '86400' })?.date).toBe('1970-01-02T00:00:00Z');
  expect(() => release({ SOURCE_DATE_EPOCH: 'now' })).toThrow('SOURCE_DATE_EPOCH "now" is no number');
});
