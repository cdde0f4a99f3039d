/* Generated from schema.json by `npm run generate`. */

/**
 * What `create-nx-workspace --preset=slim-go` puts into a new workspace: slim-go set up, and one program with an image.
 */
export interface PresetOptions {
  /**
   * Name of the workspace, which create-nx-workspace gives.
   */
  name?: string;
  /**
   * Name of the first program; it lies in apps/.
   */
  app?: string;
  /**
   * What the first program is: `cli` prints a line, `http` is a server.
   */
  template?: 'cli' | 'http';
  /**
   * `module`: one go.mod in the root. `workspace`: a go.work in the root and a go.mod in each project.
   */
  layout?: 'module' | 'workspace';
  /**
   * Module path of the root go.mod. Default: example.com/<workspace>.
   */
  module?: string;
}
