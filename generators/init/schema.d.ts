/* Generated from schema.json by `npm run generate`. */

/**
 * Sets up slim-go in the workspace. Whatever is there already stays as it is.
 */
export interface InitOptions {
  /**
   * `module`: one go.mod in the root for the whole repository. `workspace`: a go.work in the root and a go.mod in each project.
   */
  layout?: 'module' | 'workspace';
  /**
   * Module path of the root go.mod. By default that of the git remote `origin`, otherwise `example.com/<workspace>`.
   */
  module?: string;
  /**
   * Make a go.deps.json, which `nx sync` keeps: a new version of a third-party module then affects only the programs that can reach it.
   */
  deps?: boolean;
  /**
   * Do not format the changed files with Prettier.
   */
  skipFormat?: boolean;
  /**
   * Do not add slim-go to package.json.
   */
  skipPackageJson?: boolean;
  /**
   * Keep the version of slim-go that package.json asks for.
   */
  keepExistingVersions?: boolean;
}
