import { SlimGoError } from '../../errors';
import { git } from '../git';
import { gitTags, type ReleaseSource, versionAt } from '../release';

const tokens =
  '{branch}, {sha}, {shortSha}, {version}, {major}, {minor}, {patch}, {gitTag}, {match:<pattern>} and {env.NAME}';

/**
 * Tags with their tokens filled in, by the rules of docker/metadata-action: what can't stand in a tag becomes `-` (the
 * branch `feature/x` is the tag `feature-x`), and a tag that is made of a git tag is left out on a commit that has none
 * (or only a pre-release, for `{major}`, `{minor}` and `{patch}`).
 * @throws OPTION_INVALID for an unknown token, and a branch, commit or variable that has no value here
 * https://github.com/docker/metadata-action#tags-input
 */
export function fillTags(templates: readonly string[], source: ReleaseSource): readonly string[] {
  return templates.flatMap((template) => {
    let isLeftOut = false;
    const tag = template.replace(/\{((?:[^{}]|\{[^{}]*\})*)\}/g, (token, name: string) => {
      const value = tokenValue(name, template, source);
      if (value === undefined) isLeftOut = true;
      else if (value === '') {
        throw invalid(
          template,
          `${token} has no value here`,
          'A commit and a branch come from git, or from the CI system.',
        );
      }
      return (value ?? '').replace(/[^\w.-]+/g, '-');
    });
    return isLeftOut ? [] : [tag];
  });
}

/** Empty where it should have a value, undefined where it need not. */
function tokenValue(name: string, template: string, { project, folder, env }: ReleaseSource): string | undefined {
  if (name.startsWith('env.')) return env[name.slice('env.'.length)] ?? '';
  if (name.startsWith('match:')) return matchTag(name.slice('match:'.length), template, folder);
  const version = () => versionAt(folder, project);
  const released = () => {
    const found = version();
    return found?.prerelease ? undefined : found;
  };
  switch (name) {
    case 'sha':
      return git(folder, ['rev-parse', 'HEAD']) ?? '';
    case 'shortSha':
      return git(folder, ['rev-parse', 'HEAD'])?.slice(0, 7) ?? '';
    case 'branch':
      // CI systems check out a commit without its branch.
      return (
        git(folder, ['symbolic-ref', '--quiet', '--short', 'HEAD']) ??
        (env.GITHUB_HEAD_REF || env.GITHUB_REF_NAME || env.CI_COMMIT_REF_NAME || env.BUILDKITE_BRANCH || '')
      );
    case 'gitTag':
      return gitTags(folder)[0];
    case 'version':
      return version()?.text;
    case 'major':
      return released()?.major;
    case 'minor':
      return released()?.minor;
    case 'patch':
      return released()?.patch;
    default:
      throw invalid(template, `there is no token {${name}}`, `The tokens are ${tokens}.`);
  }
}

/** The first group, or all of what the pattern matches, in the first of the commit's tags that it matches. */
function matchTag(pattern: string, template: string, folder: string): string | undefined {
  let expression: RegExp;
  try {
    expression = new RegExp(pattern, 'u');
  } catch (error) {
    throw invalid(template, (error as Error).message, 'It is a JavaScript regular expression.');
  }
  for (const tag of gitTags(folder)) {
    const found = expression.exec(tag);
    if (found) return found[1] ?? found[0];
  }
  return undefined;
}

function invalid(template: string, what: string, hint: string): SlimGoError {
  return new SlimGoError('OPTION_INVALID', `The tag "${template}" can't be made: ${what}.`, { hint });
}
