/* Generated from schema.json by `npm run generate`. */

/**
 * Leaves the container engine with exactly the image that the `image` target built, under its tags. Never cached: it asks the engine.
 */
export interface DockerBuildOptions {
  /**
   * References to set beside those that the `image` target gave; a bare tag is one of the image's own repository.
   */
  tags?: string[];
  /**
   * `auto`: load where an engine answers, otherwise say where the archive is. `true`: no engine is an error. `false`: never load.
   */
  load?: 'auto' | boolean;
}
