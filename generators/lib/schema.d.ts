/* Generated from schema.json by `npm run generate`. */

/**
 * Creates a Go package with a doc comment and a test. Existing files are never overwritten.
 */
export interface LibOptions {
  /**
   * Folder of the new package, relative to the current folder.
   */
  directory: string;
  /**
   * Name of the Nx project. By default the folder's.
   */
  name?: string;
  /**
   * Put it into a folder `internal`: the go command then lets only code below that folder's parent import it.
   */
  internal?: boolean;
  /**
   * Module path: of the root go.mod if this run creates it, otherwise of a module that the package gets for itself. By default it belongs to the module around it; in a go.work without one around it, it gets its own.
   */
  module?: string;
  /**
   * Tags of the Nx project, separated by commas.
   */
  tags?: string;
  /**
   * Do not format the changed files with Prettier.
   */
  skipFormat?: boolean;
}
