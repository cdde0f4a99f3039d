import { type AskGit, git, webAddress } from '../git';
import { type ReleaseSource, releaseOf } from '../release';

/**
 * The labels that every image gets unless the user or the Dockerfile sets them: `org.opencontainers.image.title`, `source`
 * (the git remote `origin` as a web address, where there is one) and, where asked for, `version`, `revision` and `created`.
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md#pre-defined-annotation-keys
 * @param stamp whether the commit is told: an image that tells it is another one after every commit
 */
export function imageLabels(of: ReleaseSource, stamp: boolean, ask: AskGit = git): Readonly<Record<string, string>> {
  const remote = ask(of.folder, ['config', '--get', 'remote.origin.url']);
  const source = remote === undefined ? undefined : webAddress(remote);
  const release = stamp ? releaseOf(of, ask) : undefined;
  return {
    'org.opencontainers.image.title': of.project,
    ...(source === undefined ? {} : { 'org.opencontainers.image.source': source }),
    ...(release && {
      'org.opencontainers.image.version': release.version,
      'org.opencontainers.image.revision': release.commit,
      'org.opencontainers.image.created': release.date,
    }),
  };
}
