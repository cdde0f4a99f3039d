import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { webAddress } from '../git';
import { imageLabels } from './labels';

describe('webAddress', () => {
  it.each([
    ['git@github.com:acme/mono.git', 'https://github.com/acme/mono'],
    ['ssh://git@github.com:22/acme/mono.git', 'https://github.com/acme/mono'],
    ['https://user:secret@github.com/acme/mono', 'https://github.com/acme/mono'],
    ['https://git.example.com:8443/acme/mono.git/', 'https://git.example.com:8443/acme/mono'],
    ['git://example.com/mono.git', 'https://example.com/mono'],
    ['../elsewhere', undefined],
    ['/srv/git/mono.git', undefined],
    ['C:\\git\\mono', undefined],
  ])('makes of %s %s', (remote, expected) => {
    expect(webAddress(remote)).toBe(expected);
  });
});

describe('imageLabels', () => {
  const folder = mkdtempSync(join(tmpdir(), 'slim-go-labels-'));
  const git = (...args: string[]) => execFileSync('git', args, { cwd: folder, encoding: 'utf8' }).trim();
  afterAll(() => rmSync(folder, { recursive: true }));

  it('tells the release only where asked for, and the source only where there is a remote', () => {
    git('init', '-q');
    git('-c', 'user.name=t', '-c', 'user.email=t@example.com', 'commit', '-q', '--allow-empty', '-m', 'one');
    git('-c', 'user.name=t', '-c', 'user.email=t@example.com', 'tag', 'hello/v1.2.3');
    const hello = { project: 'hello', folder, env: { SOURCE_DATE_EPOCH: '86400' } };
    const title = { 'org.opencontainers.image.title': 'hello' };
    expect(imageLabels(hello, false)).toEqual(title);
    git('remote', 'add', 'origin', 'git@example.com:acme/mono.git');
    expect(imageLabels(hello, true)).toEqual({
      ...title,
      'org.opencontainers.image.source': 'https://example.com/acme/mono',
      'org.opencontainers.image.version': '1.2.3',
      'org.opencontainers.image.revision': git('rev-parse', 'HEAD'),
      'org.opencontainers.image.created': '1970-01-02T00:00:00Z',
    });
  });
});
