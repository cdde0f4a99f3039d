import { SlimGoError } from '../../errors';
import { git } from '../git';

/**
 * Tags with their tokens filled in: `{sha}`, `{shortSha}` (7 digits), `{branch}`, `{env.NAME}`. What can't stand in a tag
 * becomes `-`, as docker/metadata-action has it: the branch `feature/x` is the tag `feature-x`.
 * @param folder the workspace's, which git is asked in
 * @throws OPTION_INVALID for an unknown token, and one that has no value here
 */
export function fillTags(templates: readonly string[], env: NodeJS.ProcessEnv, folder: string): readonly string[] {
  return templates.map((template) =>
    template.replace(/\{([^{}]*)\}/g, (token, name: string) => {
      const value = tokenValue(name, env, folder);
      if (value) return value.replace(/[^\w.-]+/g, '-');
      throw new SlimGoError('OPTION_INVALID', `The tag "${template}" can't be made: ${token} has no value here.`, {
        hint:
          value === undefined
            ? 'The tokens are {sha}, {shortSha}, {branch} and {env.NAME}.'
            : 'A commit and a branch come from git, or from the variables of the CI system.',
      });
    }),
  );
}

/** Undefined for a token that does not exist, empty where it has no value. */
function tokenValue(name: string, env: NodeJS.ProcessEnv, folder: string): string | undefined {
  if (name.startsWith('env.')) return env[name.slice('env.'.length)] ?? '';
  const sha = () => git(folder, ['rev-parse', 'HEAD']) ?? '';
  switch (name) {
    case 'sha':
      return sha();
    case 'shortSha':
      return sha().slice(0, 7);
    case 'branch':
      // CI systems check out a commit without its branch.
      return (
        git(folder, ['symbolic-ref', '--quiet', '--short', 'HEAD']) ??
        (env.GITHUB_HEAD_REF || env.GITHUB_REF_NAME || env.CI_COMMIT_REF_NAME || env.BUILDKITE_BRANCH || '')
      );
    default:
      return undefined;
  }
}
