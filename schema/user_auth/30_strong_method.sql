/*
 * Keys, faces and cards: WebAuthn, biometrics and client certificates.
 */
