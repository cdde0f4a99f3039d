/* Generated from schema.json by `npm run generate`. */

/**
 * Writes a CI configuration that lints, tests and builds what a change affects, and pushes the affected images from the main branch.
 */
export interface CiOptions {
  /**
   * Who runs it: GitHub Actions or GitLab CI.
   */
  provider: 'github' | 'gitlab';
  /**
   * Where images are pushed to: registry and path, to which the project's name is added. Default: the provider's own registry for this repository, as the git remote names it.
   */
  registry?: string;
  /**
   * The branch that images are pushed from. Default: `defaultBase` of nx.json, otherwise main.
   */
  mainBranch?: string;
  /**
   * Do not format the changed files with Prettier.
   */
  skipFormat?: boolean;
}
