/* Generated from schema.json by `npm run generate`. */

/**
 * Builds the image a second time, in another folder and without any build cache, and compares every digest. Never cached.
 */
export interface VerifyReproOptions {
  /**
   * The target that builds the image.
   */
  imageTarget?: string;
}
