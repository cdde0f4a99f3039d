/* Generated from schema.json by `npm run generate`. */

/**
 * Pins the base images of a Dockerfile to what their tags stand for now, in image.lock.json.
 */
export interface UpdateBaseOptions {
  /**
   * The target that builds the image: its options say which Dockerfile, stage and platforms are meant.
   */
  imageTarget?: string;
}
